"use strict";
// What is shown, and who is told when that changes.
const report = JSON.parse(document.getElementById("report").textContent);

const view = {
  logarithmic: true,
  hidden: new Set(report.hidden || []),
  zoom: null, // [from, to] in iterations
  chosen: null, // the iteration of the slider
  at: null, // that under the pointer, or else the chosen one
};
const listeners = { moved: [], hid: [], redraw: [], zoomed: [] };
const tell = (what) => listeners[what].forEach((listener) => listener());

function look(iteration) {
  const at = iteration === null ? view.chosen : iteration;
  if (at === view.at) return;
  view.at = at;
  tell("moved");
}

function toggle(keys, show) {
  for (const key of keys) show ? view.hidden.delete(key) : view.hidden.add(key);
  tell("hid");
}

function zoom(range) {
  view.zoom = range;
  tell("zoomed");
}

// An element; strings become text, never markup.
function el(name, properties, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties || {})) {
    if (key in node) node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

function svg(name, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

// The entry of an increasing array that is nearest to a value; -1 in an empty one.
function nearest(x, value) {
  let low = 0, high = x.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (x[middle] <= value) low = middle;
    else high = middle;
  }
  return high > low && x[high] - value < value - x[low] ? high : high < 0 ? -1 : low;
}

function short(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size >= 1e6 || (size < 1e-3 && size > 0)) return value.toExponential(2).replace(/\.?0+e/, "e");
  if (size >= 1e4) return value.toLocaleString("en", { maximumFractionDigits: 0 });
  return String(+value.toPrecision(4));
}

const whole = (value) => value.toLocaleString("en", { maximumFractionDigits: 0 });
