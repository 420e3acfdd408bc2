// A panel of points, one a run.
function pointsPanel(panel) {
  const reading = el("div", { className: "reading" });
  const box = el("div", { className: "plot", role: "img", "aria-label": panel.title });
  let plot = null;
  const shown = () => panel.points.filter((p) => !view.hidden.has(p.key));
  const range = (name) => {
    const values = shown().map((p) => p[name]);
    if (!values.length) return [0, 1];
    const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
    const margin = (high - low || Math.abs(high) * 0.1 || 1) * 0.08;
    return [low - margin, high + margin];
  };

  function draw() {
    discard(plot);
    plot = new uPlot({
      width: Math.max(280, box.clientWidth), height: HEIGHT, legend: { show: false }, padding: [10, 26, 0, 0],
      scales: { x: { time: false, range: () => range("x") }, y: { range: () => range("y") } },
      axes: [axis({ label: panel.label, labelSize: 18, labelGap: 0, size: 26, gap: 3, values: (u, s) => s.map(whole) }), heightAxis(false)],
      series: [{}, { stroke: "transparent", points: { show: false } }],
      cursor: { x: false, y: false, drag: { x: false, y: false }, points: { show: false } },
      hooks: { draw: [paint] },
    }, [[0, 1], [0, 1]], box);
    plot.over.addEventListener("mousemove", read);
    plot.over.addEventListener("mouseleave", () => { reading.textContent = ""; });
  }
  function paint(u) {
    const c = u.ctx, r = 4.5 * devicePixelRatio;
    c.save();
    for (const point of shown()) {
      c.beginPath();
      c.arc(u.valToPos(point.x, "x", true), u.valToPos(point.y, "y", true), r, 0, 7);
      c.strokeStyle = colourOf(point.key);
      c.fillStyle = faint(colourOf(point.key));
      c.lineWidth = 1.8 * devicePixelRatio;
      c.fill();
      c.stroke();
    }
    c.restore();
  }
  function read(event) {
    const { left, top } = plot.over.getBoundingClientRect();
    let best = null, distance = 30;
    for (const point of shown()) {
      const d = Math.hypot(plot.valToPos(point.x, "x") + left - event.clientX, plot.valToPos(point.y, "y") + top - event.clientY);
      if (d < distance) [best, distance] = [point, d];
    }
    reading.textContent = best ? `${short(best.y)} with ${whole(best.x)}: ${report.keys[best.key].label}; ${best.text}` : "";
  }
  listeners.redraw.push(draw);
  listeners.hid.push(draw);
  return { parts: [reading, box], draw };
}
