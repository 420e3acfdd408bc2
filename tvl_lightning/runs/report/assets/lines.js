// A panel of lines with their bands.
function linesPanel(panel) {
  const source = panel.of && report.panels.find((other) => other.title === panel.of);
  const series = source
    ? source.rows.map((y, i) => ({ key: `layer ${i}`, x: source.x, y }))
    : panel.series;
  const long = series.some((s) => report.keys[s.key].label.length > 24);
  const named = !source && series.length <= 8;
  const keys = el("div", { className: named && long ? "keys long" : "keys" });
  const values = new Map();
  if (named) {
    for (const s of series) {
      const { button, value } = keyButton(s.key);
      values.set(s, value);
      keys.append(button);
    }
  } else keys.className = "reading";
  const box = el("div", { className: "plot", role: "img", "aria-label": panel.title });
  let plot = null, places = [];

  function valueAt(s) {
    const i = nearest(report.x[s.x], view.at);
    return i < 0 ? null : s.y[i];
  }
  function read() {
    if (view.at === null) return;
    for (const [s, value] of values) value.textContent = short(valueAt(s));
  }
  function readNearest(u) {
    if (named) return;
    const mouse = u.cursor.top;
    let best = null, distance = Infinity;
    for (const s of series) {
      const y = valueAt(s);
      if (y === null || view.hidden.has(s.key)) continue;
      const d = Math.abs(u.valToPos(y, "y") - mouse);
      if (d < distance) [best, distance] = [s, d];
    }
    keys.textContent = best ? `${report.keys[best.key].label}  ${short(valueAt(best))}` : "";
  }

  function draw() {
    discard(plot);
    plot = null;
    if (box.closest("[hidden]")) return;
    places = [];
    const tables = [], options = [{}], bands = [];
    const tiny = panel.log ? (v) => (v === null ? null : Math.max(v, 1e-12)) : (v) => v;
    // of hundreds of settings, only those that are shown
    for (const s of source || named ? series : series.filter(({ key }) => !view.hidden.has(key))) {
      const colour = colourOf(s.key), show = !view.hidden.has(s.key), width = source ? 1.2 : 1.8;
      const start = options.length;
      const paths = panel.steps ? uPlot.paths.stepped({ align: 1 }) : undefined;
      options.push({ stroke: colour, width, dash: dashOf(s.key), show, paths, points: { show: s.y.filter((v) => v !== null).length === 1, size: 6, fill: colour } });
      const columns = [s.y];
      if (s.low) {
        const hidden = { stroke: "transparent", width: 0, show, paths, points: { show: false } };
        options.push(hidden, { ...hidden });
        columns.push(s.high, s.low);
        bands.push({ series: [start + 1, start + 2], fill: faint(colour) });
      }
      tables.push([placed(report.x[s.x]), ...columns.map((column) => column.map(tiny))]);
      places.push({ key: s.key, first: start, last: options.length - 1 });
    }
    const data = tables.length ? uPlot.join(tables) : [[], []];
    plot = overIterations(box, {
      series: options, bands,
      cursor: { points: { size: 6, show: (u, i) => !source && cursorPoint(u, i) } },
      scales: { y: { distr: panel.log ? 3 : 1, range: (u, low, high) => heightRange(panel, low, high) } },
      axes: [heightAxis(panel.log, panel.steps ? { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] } : {})],
      hooks: { draw: [drawLevels, drawMarks] },
    }, data, readNearest);
  }

  function cursorPoint(u, i) {
    const isMain = places.some((place) => place.first === i);
    const point = el("div", {});
    if (!isMain) point.style.display = "none";
    return point;
  }

  function drawLevels(u) {
    for (const [y, name] of panel.levels || []) {
      const c = u.ctx, r = devicePixelRatio, place = Math.round(u.valToPos(y, "y", true));
      if (!(place >= u.bbox.top && place <= u.bbox.top + u.bbox.height)) continue;
      c.save();
      c.strokeStyle = c.fillStyle = name ? css("--mark") : css("--soft");
      c.lineWidth = r;
      c.setLineDash(name ? [6 * r, 4 * r] : []);
      c.globalAlpha = name ? 1 : 0.5;
      c.beginPath();
      c.moveTo(u.bbox.left, place);
      c.lineTo(u.bbox.left + u.bbox.width, place);
      c.stroke();
      c.font = `${12 * r}px system-ui, sans-serif`;
      c.textAlign = "left";
      const above = place - u.bbox.top > 16 * r;
      c.textBaseline = above ? "bottom" : "top";
      c.fillText(name, u.bbox.left + 6 * r, place + (above ? -2 : 4) * r);
      c.restore();
    }
  }
  function drawMarks(u) {
    const c = u.ctx, r = 5 * devicePixelRatio;
    c.save();
    c.beginPath();
    c.rect(u.bbox.left, u.bbox.top - r, u.bbox.width + r, u.bbox.height + r);
    c.clip();
    c.lineWidth = 2 * devicePixelRatio;
    for (const mark of panel.marks || []) {
      if (mark.y === null || view.hidden.has(mark.key)) continue;
      const x = u.valToPos(mark.x, "x", true), y = u.valToPos(panel.log ? Math.max(mark.y, 1e-12) : mark.y, "y", true);
      c.strokeStyle = colourOf(mark.key);
      c.beginPath();
      if (mark.kind === "inserted") c.arc(x, y, r, 0, 7);
      else {
        c.moveTo(x - r, y - r); c.lineTo(x + r, y + r);
        c.moveTo(x - r, y + r); c.lineTo(x + r, y - r);
      }
      c.stroke();
    }
    c.restore();
  }

  listeners.moved.push(read);
  listeners.redraw.push(draw);
  if (!panel.setting) listeners.hid.push(hide); // `page.js` draws that of a setting, or does not
  function hide() {
    if (!source && !named) draw();
    else plot && plot.batch(() => {
      for (const { key, first, last } of places)
        for (let i = first; i <= last; i++)
          if (plot.series[i].show === view.hidden.has(key)) plot.setSeries(i, { show: !view.hidden.has(key) });
    });
  }
  return { parts: [keys, box], draw, hide, read };
}

const sharedRanges = new Map();

// The y range that all panels of a name share, over all their values.
function sharedRange(name) {
  if (!sharedRanges.has(name)) {
    let low = Infinity, high = -Infinity;
    for (const panel of report.panels.filter((p) => p.range === name)) {
      const columns = panel.kind === "map" ? panel.rows : panel.series.flatMap((s) => [s.low || s.y, s.high || s.y]);
      for (const column of columns)
        for (const v of column) if (v !== null) [low, high] = [Math.min(low, v), Math.max(high, v)];
    }
    sharedRanges.set(name, [low, high]);
  }
  return sharedRanges.get(name);
}

function heightRange(panel, low, high) {
  if (panel.range) [low, high] = sharedRange(panel.range);
  if (low === null || high === null || !(low <= high)) [low, high] = panel.log ? [0.1, 1] : [0, 1];
  const levels = (panel.levels || []).map(([y]) => y);
  if (panel.log) {
    const floor = levels.length ? Math.min(...levels) / 100 : high * 1e-6;
    return [Math.max(Math.min(low, ...levels), floor) / 1.2, Math.max(high, ...levels) * 1.2];
  }
  [low, high] = [Math.min(low, ...levels), Math.max(high, ...levels)];
  const margin = (high - low || Math.abs(high) || 1) * 0.06;
  return [low - margin, high + margin];
}
