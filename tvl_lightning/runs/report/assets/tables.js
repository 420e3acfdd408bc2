// A table that is sorted by a click on a head; a row with a key has a box that shows it.
function table({ title, head, rows, folded, open, note }) {
  const body = el("tbody", {});
  const heads = head.map(({ name, digits }, i) => {
    const button = el("button", { type: "button" }, name);
    const cell = el("th", { scope: "col", className: digits === undefined ? "" : "number", "aria-sort": "none" }, button);
    button.onclick = () => {
      const down = cell.getAttribute("aria-sort") === (digits === undefined ? "ascending" : "descending") ? digits === undefined : digits !== undefined;
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      sort(i + 1, digits !== undefined, down);
    };
    return cell;
  });
  const built = rows.map((row) => ({ row, line: null }));

  function lineOf(entry) {
    if (entry.line) return entry.line;
    const [key, ...cells] = entry.row;
    const shown = cells.map((value, i) => {
      const { digits, name } = head[i];
      const words = digits === undefined ? value || "" : value === null ? "" : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
      const wrong = name === "status" ? words !== "finished" : name === "runs" && words.includes(" of ");
      return el("td", { className: digits !== undefined ? "number" : wrong ? "status" : "" }, words);
    });
    if (key !== null && !folded) {
      const box = el("input", { type: "checkbox", "aria-label": `show ${report.keys[key].label}` });
      const { button } = keyButton(key);
      const swatch = button.querySelector("svg");
      box.onchange = () => toggle([key], box.checked);
      const update = () => { box.checked = !view.hidden.has(key); };
      listeners.hid.push(update);
      update();
      const words = shown[0].textContent;
      shown[0].replaceChildren(el("label", {}, box, swatch, words));
    }
    entry.line = el("tr", {}, ...shown);
    return entry.line;
  }
  function sort(column, numeric, down) {
    const sign = down ? -1 : 1;
    built.sort(({ row: a }, { row: b }) => {
      if (a[column] === null || b[column] === null) return (a[column] === null) - (b[column] === null);
      return sign * (numeric ? a[column] - b[column] : String(a[column]).localeCompare(String(b[column]), "en", { numeric: true }));
    });
    body.replaceChildren(...built.map(lineOf));
  }
  const whole = el("table", {}, el("thead", {}, el("tr", {}, ...heads)), body);
  const fill = () => body.replaceChildren(...built.map(lineOf));
  if (!folded) {
    fill();
    return el("section", { className: "card wide", "aria-label": title }, el("h2", {}, title), whole, note ? el("p", { className: "soft" }, note) : "");
  }
  const fold = el("details", { className: "card wide" }, el("summary", {}, `${title} (${rows.length})`), whole);
  fold.addEventListener("toggle", fill, { once: true });
  fold.open = open;
  return fold;
}
