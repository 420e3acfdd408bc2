// Colours of keys and of maps, on light and on dark paper.
const dark = matchMedia("(prefers-color-scheme: dark)");
const LIGHTER = {
  "#000000": "#f2f2f2", "#332288": "#a99cf5", "#4477AA": "#7fb0e6", "#CC3311": "#ff7a5c",
};
const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3], [5, 2], [3, 5]];
const DEPTHS = ["#332288", "#4477AA", "#2E9E9A", "#7A8F1F", "#E69F00", "#CC3311"];
const BLUES = ["#ffffff", "#b9d3ec", "#4477AA", "#1d2b6b"];
const REDS = ["#ffffff", "#f6d18b", "#e07b2a", "#9c2411"];

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function mixed(stops, t) {
  const place = Math.min(1, Math.max(0, t)) * (stops.length - 1);
  const i = Math.min(stops.length - 2, Math.floor(place));
  const [a, b] = [stops[i], stops[i + 1]].map((c) => [1, 3, 5].map((k) => parseInt(c.slice(k, k + 2), 16)));
  return `rgb(${a.map((v, k) => Math.round(v + (b[k] - v) * (place - i))).join(",")})`;
}

function colourOf(key) {
  const { colour, depth } = report.keys[key];
  const seen = (plain) => (dark.matches && LIGHTER[plain]) || plain;
  return depth === undefined ? seen(report.palette[colour]) : mixed(DEPTHS.map(seen), depth);
}

const dashOf = (key) => DASHES[report.keys[key].dash % DASHES.length];

function faint(colour) {
  const box = document.createElement("canvas").getContext("2d");
  box.fillStyle = colour;
  return box.fillStyle + "30"; // as #rrggbbaa
}
