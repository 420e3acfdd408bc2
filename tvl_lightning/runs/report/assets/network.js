// The network at an iteration: a chain of layers, each with a bar of the height of its τ.
function networkCard() {
  const { panel, horizon, sizes } = report.network;
  const source = report.panels[panel];
  const columns = source.kind === "map" ? source.rows : source.series.map((s) => s.y);
  const x = report.x[source.kind === "map" ? source.x : source.series[0].x];
  const layers = columns.length;
  const lifts = sizes.map((_, i) => sizes.slice(0, i).reduce((a, b) => a + b, 0));
  const [low, high] = extremes(columns);
  const top = Math.max(high, 0), bottom = Math.min(low, 0), span = top - bottom || 1;
  const ROOM = 100, ABOVE = 16, LINE = ABOVE + ROOM + 26;
  const height = (tau) => ABOVE + ((top - tau) / span) * ROOM;
  const picture = svg("svg", { height: LINE + 26, role: "img" });
  const said = el("span", { className: "said" });
  const chain = el("div", { className: "chain" }, el("h2", {}, "the network at this iteration", said), picture);
  let parts = [];

  function build() {
    picture.textContent = "";
    const width = chain.clientWidth || 600, column = (width - 72) / layers;
    const centre = (l) => 36 + column * (l + 0.5), radius = Math.min(9, column * 0.42);
    picture.append(svg("line", { x1: 26, x2: width - 26, y1: LINE, y2: LINE, stroke: css("--edge"), "stroke-width": 2 }));
    picture.append(svg("line", { x1: 36, x2: width - 36, y1: height(0), y2: height(0), stroke: css("--edge") }));
    write(picture, 12, LINE + 4, "in");
    write(picture, width - 12, LINE + 4, "out");
    for (const lift of lifts.slice(1))
      picture.append(svg("line", { x1: centre(lift) - column / 2, x2: centre(lift) - column / 2, y1: ABOVE, y2: LINE + 14, stroke: css("--soft"), "stroke-dasharray": "3 3" }));
    parts = columns.map((_, l) => {
      const wide = Math.min(36, Math.max(1.5, column * 0.6));
      const bar = svg("rect", { x: centre(l) - wide / 2, width: wide });
      const node = svg("circle", { cx: centre(l), cy: LINE, r: radius, "stroke-width": 2 });
      picture.append(bar, node);
      const every = layers <= 20 ? 1 : layers <= 100 ? 8 : Math.ceil(layers / 12);
      if (l % every === 0) write(picture, centre(l), LINE + 24, String(l));
      const value = layers <= 16 ? write(picture, centre(l), 0, "") : null;
      return { bar, node, value };
    });
    update();
  }

  function update() {
    if (view.at === null) return;
    const i = nearest(x, view.at);
    let count = 0, sum = 0;
    parts.forEach(({ bar, node, value }, l) => {
      const tau = columns[l][i], colour = colourOf(`layer ${l}`);
      const there = tau !== null, faded = view.hidden.has(`layer ${l}`) ? 0.25 : 1;
      if (there) [count, sum] = [count + 1, sum + tau];
      const [from, to] = there ? [height(Math.max(tau, 0)), height(Math.min(tau, 0))] : [0, 0];
      bar.setAttribute("y", from);
      bar.setAttribute("height", there ? Math.max(1, to - from) : 0);
      bar.setAttribute("fill", colour);
      bar.setAttribute("opacity", faded);
      node.setAttribute("fill", there ? colour : css("--card"));
      node.setAttribute("stroke", there ? colour : css("--edge"));
      node.setAttribute("stroke-dasharray", there ? "none" : "3 2");
      node.setAttribute("opacity", faded);
      if (value) {
        value.textContent = there ? short(+tau.toPrecision(3)) : "";
        value.setAttribute("y", there && tau < 0 ? to + 11 : from - 4);
      }
    });
    const of = horizon === null ? "" : `, T = ${short(horizon)}`;
    said.textContent = `${count} of ${layers} layers: Σ τ = ${short(sum)}${of}`;
    picture.setAttribute("aria-label", said.textContent);
  }

  listeners.moved.push(update);
  listeners.hid.push(update);
  listeners.redraw.push(build);
  const card = el("section", { className: "card network" }, chain);
  if (report.changes.length) card.append(changesTable());
  return { card, build };
}

function write(picture, x, y, words) {
  const text = svg("text", { x, y, "text-anchor": "middle" });
  text.textContent = words;
  picture.append(text);
  return text;
}

function changesTable() {
  const head = ["iteration", "layer", "", "τ", "share"];
  const rows = report.changes.map(([iteration, layer, kind, tau, share]) =>
    el("tr", {}, ...[whole(iteration), `τ(${layer})`, kind, short(tau), short(share)].map((words, i) =>
      el("td", { className: i === 1 || i === 2 ? "" : "number" }, words))));
  return el("div", { className: "changes", tabIndex: 0, role: "region", "aria-label": "layers that came and went" },
    el("table", {}, el("caption", {}, "what came and went"),
      el("thead", {}, el("tr", {}, ...head.map((name, i) => el("th", { className: i === 1 || i === 2 ? "" : "number", scope: "col" }, name)))),
      el("tbody", {}, ...rows)));
}
