// The page: facts, controls, tables, the network, panels.
document.title = report.title;
const body = document.body;

const notes = el("ul", { className: "notes" }, ...report.notes.map((note) => el("li", {}, note)));
const facts = el("dl", { className: "facts" },
  ...report.facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
body.append(el("header", {}, el("h1", {}, report.title), report.notes.length ? notes : "", facts));

function controls() {
  const scale = (name, logarithmic) => {
    const radio = el("input", { type: "radio", name: "scale", checked: view.logarithmic === logarithmic });
    radio.onchange = () => {
      view.logarithmic = logarithmic;
      view.zoom = null;
      tell("redraw"); // first: the old plots have the old axis
      tell("zoomed");
    };
    return el("label", {}, radio, name);
  };
  const slider = el("input", { type: "range", min: 0, max: Math.max(0, iterations.length - 1), value: iterations.length - 1, "aria-label": "iteration" });
  const reading = el("output", {});
  slider.oninput = () => {
    view.chosen = iterations[slider.value];
    slider.setAttribute("aria-valuetext", `iteration ${whole(view.chosen)}`);
    look(null);
  };
  listeners.moved.push(() => {
    reading.textContent = `iteration ${whole(view.at)}`;
  });
  const all = el("button", { type: "button", className: "plain", disabled: true, title: "drag over a panel to zoom all of them" }, "whole run");
  all.onclick = () => zoom(null);
  listeners.zoomed.push(() => { all.disabled = view.zoom === null; });
  const bar = el("div", { className: "bar", role: "toolbar", "aria-label": "what the panels show" },
    el("fieldset", {}, "iterations", scale("logarithmic", true), scale("linear", false)), all,
    el("label", { className: "at" }, slider, reading));
  return { bar, start: () => slider.oninput() };
}

function chips() {
  const layers = Object.keys(report.keys).filter((key) => key.startsWith("layer "));
  const all = (name, show) => {
    const button = el("button", { type: "button", className: "plain" }, name);
    button.onclick = () => toggle(layers, show);
    return button;
  };
  const each = layers.map((key) => {
    const chip = el("button", { type: "button", className: "chip", title: `hide or show ${report.keys[key].label}` }, key.slice(6));
    chip.onclick = () => toggle([key], view.hidden.has(key));
    const update = () => {
      chip.setAttribute("aria-pressed", String(!view.hidden.has(key)));
      chip.style.borderBottomColor = colourOf(key);
    };
    listeners.hid.push(update);
    listeners.redraw.push(update);
    update();
    return chip;
  });
  return el("details", { className: "card", open: true }, el("summary", {}, `${layers.length} layers, to hide and to show`),
    el("div", { className: "chips" }, all("all", true), all("none", false), ...each));
}

function panelOf(panel) {
  const make = { lines: linesPanel, map: mapPanel, points: pointsPanel }[panel.kind];
  const drawn = make(panel);
  const section = el("section", { className: "card panel", "aria-label": panel.title }, el("h2", {}, panel.title), ...drawn.parts);
  if (panel.setting) {
    const show = () => {
      const hidden = view.hidden.has(panel.setting);
      if (hidden !== section.hidden) {
        section.hidden = hidden;
        drawn.draw();
        drawn.read && drawn.read();
      } else drawn.hide();
    };
    section.hidden = view.hidden.has(panel.setting);
    listeners.hid.push(show);
  }
  return { section, draw: drawn.draw };
}

const parts = [];
if (report.tables) body.append(table(report.tables[0]));
const control = iterations.length ? controls() : null;
if (control) body.append(control.bar);
if (report.network) {
  const { card, build } = networkCard();
  body.append(card);
  parts.push(build);
}
if (Object.values(report.keys).some((key) => key.depth !== undefined)) body.append(chips());
const grid = el("main", { className: "grid" });
body.append(grid);
for (const panel of report.panels) {
  const { section, draw } = panelOf(panel);
  grid.append(section);
  parts.push(draw);
}
if (report.tables) body.append(...report.tables.slice(1).map(table));
if (report.settings && report.settings.length)
  body.append(el("details", { className: "card wide" }, el("summary", {}, "settings"),
    el("table", {}, el("tbody", {}, ...report.settings.map(([name, value]) => el("tr", {}, el("td", {}, name), el("td", {}, value)))))));
parts.forEach((build) => build());
if (control) control.start();

let waiting = 0, width = innerWidth;
addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    if (innerWidth !== width) tell("redraw");
    width = innerWidth;
  }, 120);
});
dark.addEventListener("change", () => tell("redraw"));
document.documentElement.dataset.drawn = performance.now().toFixed(0);
