// What all plots have in common: axes, zoom, the line at the iteration that is looked at.
const HEIGHT = 240;
const plots = new Set();
const iterations = longest(report.panels.filter((p) => p.kind !== "points").flatMap(axesOf));

function axesOf(panel) {
  return (panel.kind === "map" ? [panel] : panel.series).map((each) => report.x[each.x]);
}

function longest(arrays) {
  const ends = (x) => (x.length ? x[x.length - 1] : 0);
  return arrays.reduce((best, x) => (ends(x) > ends(best) || (ends(x) === ends(best) && x.length > best.length) ? x : best), []);
}

function wholeRange() {
  const last = iterations[iterations.length - 1] || 1;
  return view.logarithmic ? [1, Math.max(last, 2)] : [0, Math.max(last, 1)];
}

// Where iterations are drawn: a logarithmic axis has no place for 0, the state before training.
function placed(x) {
  if (!view.logarithmic) return x;
  return x.map((v, i) => (v >= 1 ? v : x[i + 1] > 1 ? 1 : 0.5));
}

function iterationScale() {
  return { time: false, distr: view.logarithmic ? 3 : 1, range: () => view.zoom || wholeRange() };
}

function axis(more) {
  return {
    stroke: css("--soft"), font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif",
    grid: { stroke: css("--grid"), width: 1 }, ticks: { stroke: css("--edge"), width: 1, size: 4 }, ...more,
  };
}

function iterationAxis() {
  return axis({ label: "iteration", labelSize: 18, labelGap: 0, size: 26, gap: 3, ...ticks(view.logarithmic, whole) });
}

const heightAxis = (logarithmic, more) => axis({ size: 58, gap: 4, ...ticks(logarithmic, short), ...more });

function ticks(logarithmic, words) {
  if (!logarithmic) return { values: (u, splits) => splits.map(words) };
  return {
    splits: (u, i, low, high) => logarithmicSplits(low, high),
    filter: (u, splits) => splits,
    values: (u, splits) => splits.map((v) => (isNamed(v, splits) ? words(v) : "")),
  };
}

// 1, 2, 3 ... times powers of ten; where fewer than two are inside, an even division.
function logarithmicSplits(low, high) {
  const splits = [];
  if (!(low > 0 && high < Infinity)) return splits;
  for (let k = Math.floor(Math.log10(low)); k <= Math.log10(high); k++)
    for (let m = 1; m < 10; m++) {
      const v = +`${m}e${k}`;
      if (v >= low && v <= high) splits.push(v);
    }
  return splits.length > 1 ? splits : [0, 1, 2, 3].map((i) => low + ((high - low) * i) / 3);
}

function isNamed(value, splits) {
  const first = value.toExponential()[0], decades = Math.log10(splits[splits.length - 1] / splits[0]);
  return decades < 0.5 || first === "1" || (decades < 3 && "25".includes(first));
}

// Make a plot over the iterations; `options` say the rest.
function overIterations(box, options, data, moved) {
  const plot = new uPlot(
    {
      width: Math.max(280, box.clientWidth), height: HEIGHT, legend: { show: false }, padding: [10, 26, 0, 0],
      ...options,
      scales: { x: iterationScale(), ...options.scales },
      axes: [iterationAxis(), ...options.axes],
      cursor: {
        y: false, points: { size: 6 }, ...options.cursor,
        drag: { x: true, y: false, setScale: false, dist: 6 },
        bind: { dblclick: () => () => zoom(null) },
      },
      hooks: { ...options.hooks, setSelect: [select] },
    },
    data, box,
  );
  plot.over.addEventListener("mousemove", (event) => {
    const left = event.clientX - plot.over.getBoundingClientRect().left;
    look(Math.max(0, plot.posToVal(left, "x")));
    moved && moved(plot);
  });
  plot.over.addEventListener("mouseleave", () => look(null));
  plots.add(plot);
  pointAt(plot);
  return plot;
}

function select(plot) {
  const { left, width } = plot.select;
  if (width > 0) {
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    zoom([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
  }
}

function pointAt(plot) {
  if (view.at === null || plot.over.matches(":hover")) return;
  const { min, max } = plot.scales.x;
  const shown = view.at >= min && view.at <= max;
  plot.setCursor({ left: shown ? plot.valToPos(view.at, "x") : -10, top: shown ? 1 : -10 }, false);
}

listeners.moved.push(() => plots.forEach(pointAt));
listeners.zoomed.push(() => plots.forEach((plot) => {
  const [min, max] = view.zoom || wholeRange();
  plot.setScale("x", { min, max });
  pointAt(plot);
}));

function discard(plot) {
  if (plot) {
    plots.delete(plot);
    plot.destroy();
  }
}

// A button that shows or hides a key in all panels, with room for its value.
function keyButton(key) {
  const line = svg("svg", { width: 22, height: 8, "aria-hidden": "true" });
  const stroke = svg("line", { x1: 0, x2: 22, y1: 4, y2: 4, "stroke-width": 2.5 });
  line.append(stroke);
  const { label } = report.keys[key];
  const value = el("span", { className: "value" });
  const button = el("button", { className: "key", type: "button", title: `hide or show ${label}` },
    line, el("span", { className: "name" }, label), value);
  button.onclick = () => toggle([key], view.hidden.has(key));
  const update = () => {
    button.setAttribute("aria-pressed", String(!view.hidden.has(key)));
    stroke.setAttribute("stroke", colourOf(key));
    stroke.setAttribute("stroke-dasharray", dashOf(key).map((d) => d * 0.8).join(" "));
  };
  listeners.hid.push(update);
  listeners.redraw.push(update);
  update();
  return { button, value };
}
