// A panel of colours, layer by iteration.
function mapPanel(panel) {
  const x = report.x[panel.x], layers = panel.rows.length;
  const last = x.reduce((end, _, i) => (panel.rows.some((row) => row[i] !== null) ? i : end), -1);
  const colouring = panel.log ? shareColours(panel) : sizeColours(panel);
  const reading = el("span", { className: "read" });
  const keys = el("div", { className: "reading" }, colouring.scale(), reading);
  const box = el("div", { className: "plot", role: "img", "aria-label": panel.title });
  let plot = null;

  function draw() {
    discard(plot);
    plot = null;
    if (box.closest("[hidden]")) return;
    plot = overIterations(box, {
      series: [{}, { show: true, points: { show: false }, stroke: "transparent" }],
      cursor: { points: { show: false } },
      scales: { y: { dir: -1, range: () => [0, layers] } },
      axes: [heightAxis(false, { values: (u, splits) => splits.map((v) => (v < layers && Number.isInteger(v) ? v : "")), grid: { show: false } })],
      hooks: { draw: [paint] },
    }, [placed(x), x.map(() => null)], readRow);
  }

  function paint(u) {
    const c = u.ctx, { left, top, width, height } = u.bbox, right = left + width;
    c.save();
    c.beginPath();
    c.rect(left, top, width, height);
    c.clip();
    c.fillStyle = hatch(c);
    c.fillRect(left, top, width, height);
    const edges = placed(x).map((v) => u.valToPos(v, "x", true));
    const start = u.valToPos(Math.max(panel.start - 1, view.logarithmic ? 0.5 : 0), "x", true);
    const end = last < 0 ? left : edges[last];
    for (let layer = 0; layer < layers; layer++) {
      const y = Math.round(u.valToPos(layer, "y", true)), next = Math.round(u.valToPos(layer + 1, "y", true));
      c.globalAlpha = view.hidden.has(`layer ${layer}`) ? 0.15 : 1;
      for (let i = 0; i < x.length; i++) {
        const value = panel.rows[layer][i];
        const from = i ? edges[i - 1] : start;
        if (value === null || edges[i] < left || from > right) continue;
        c.fillStyle = colouring.colour(value);
        c.fillRect(Math.floor(from), y, Math.ceil(edges[i]) - Math.floor(from), next - y);
      }
    }
    c.globalAlpha = 1;
    c.fillStyle = css("--card");
    if (end < right) c.fillRect(Math.max(left, end), top, right - Math.max(left, end), height);
    c.restore();
  }

  function readRow(u) {
    const layer = Math.floor(u.posToVal(u.cursor.top, "y")), i = nearest(x, view.at);
    const row = panel.rows[Math.min(layers - 1, Math.max(0, layer))];
    reading.textContent = row ? `layer ${Math.min(layers - 1, Math.max(0, layer))}: ${row[i] === null ? "not there" : short(row[i])}` : "";
  }

  listeners.redraw.push(draw);
  const hide = () => plot && plot.redraw(false);
  if (!panel.setting) listeners.hid.push(hide);
  return { parts: [keys, box], draw, hide };
}

function hatch(context) {
  const tile = el("canvas", { width: 6, height: 6 }), c = tile.getContext("2d");
  c.fillStyle = css("--grid");
  c.fillRect(0, 0, 6, 6);
  c.strokeStyle = css("--edge");
  c.beginPath();
  c.moveTo(0, 6); c.lineTo(6, 0);
  c.stroke();
  return context.createPattern(tile, "repeat");
}

function extremes(rows) {
  let low = Infinity, high = -Infinity;
  for (const row of rows) for (const v of row) if (v !== null) [low, high] = [Math.min(low, v), Math.max(high, v)];
  return low > high ? [0, 1] : [low, high];
}

// Blue above 0, red below; half the colour is at a quarter of the size, so that small τ are seen.
function sizeColours(panel) {
  const [low, high] = panel.range ? sharedRange(panel.range) : extremes(panel.rows);
  const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
  const colour = (v) => mixed(v < 0 ? REDS : BLUES, Math.sqrt(Math.abs(v) / most));
  const signed = (t) => Math.sign(t) * t * t * most;
  const from = low < 0 ? -1 : 0;
  return { colour, scale: () => colourScale((t) => colour(signed(from + t * (1 - from))), low < 0 ? [[0, -most], [0.5, 0], [1, most]] : [[0, 0], [0.5, most / 4], [1, most]]) };
}

// Blue above ε, red below; without ε, blue by the logarithm.
function shareColours(panel) {
  const other = report.panels.find((p) => p.of === panel.title);
  const epsilon = other && other.levels && other.levels.length ? other.levels[0][0] : null;
  const floor = 1e-4;
  if (epsilon === null || epsilon <= floor || epsilon >= 1) {
    const place = (v) => 1 - Math.log(Math.max(v, floor)) / Math.log(floor);
    const colour = (v) => mixed(BLUES, place(v));
    return { colour, scale: () => colourScale((t) => colour(Math.pow(floor, 1 - t)), [[0, floor], [0.5, Math.sqrt(floor)], [1, 1]]) };
  }
  const colour = (v) => v >= epsilon
    ? mixed(BLUES, 0.15 + 0.85 * (1 - Math.log(Math.min(v, 1)) / Math.log(epsilon)))
    : mixed(REDS, 0.3 + 0.7 * Math.log(Math.max(v, floor) / epsilon) / Math.log(floor / epsilon));
  return {
    colour,
    scale: () => colourScale((t) => colour(t < 0.5 ? floor * Math.pow(epsilon / floor, 2 * t) : epsilon * Math.pow(1 / epsilon, 2 * t - 1)), [[0, floor], [0.5, `ε = ${short(epsilon)}`], [1, 1]]),
  };
}

function colourScale(colour, ticks) {
  const width = 120, canvas = el("canvas", { width, height: 10 }), c = canvas.getContext("2d");
  for (let i = 0; i < width; i++) {
    c.fillStyle = colour(i / (width - 1));
    c.fillRect(i, 0, 1, 10);
  }
  const [low, middle, high] = ticks.map(([, v]) => (typeof v === "string" ? v : short(v)));
  return el("span", { className: "scale" }, low, canvas, high, ` (middle: ${middle}; hatched: not there)`);
}
