// One table of all cells, which sorts by a column and keeps the rows that hold every word typed.

const columnsOf = () => [
  ...["dataset", "model", "system", "net", "depth", "latent_dim"].filter(key => new Set(data.cells.map(cell => cell[key])).size > 1
      || ["model", "depth", "latent_dim"].includes(key)).map(key => ({title: key.replace("_dim", ""), of: cell => cell[key]})),
  ...settingNames().map(name => ({title: name, of: cell => cell.settings[name] ?? ""})),
  ...data.measures.filter(measure => TABLE_MEASURES.has(measure.key) || measure.group === "Others").map(measure =>
    ({title: measure.name, of: cell => valueOf(cell, measure.key)?.value ?? null, better: measure.better, says: measure.says})),
  {title: "replicates", of: cell => cell.replicates},
];
const TABLE_MEASURES = new Set(["quality/fd_rel", "quality/coverage", "quality/precision", "quality/recall", "modes/classes",
  "likelihood/elbo", "time/train_s", "cost/parameters"]);
const settingNames = () => [...new Set(data.cells.flatMap(cell => Object.keys(cell.settings)))].filter(name =>
  new Set(data.cells.map(cell => JSON.stringify(cell.settings[name]))).size > 1);
const sorted = {column: null, down: false};

function drawTable() {
  const columns = columnsOf(), body = element("tbody"), head = element("tr", {}, element("th", {scope: "col"}, "cell"));
  const rows = data.cells.map(cell => ({cell, row: tableRow(cell, columns), text: wordsOf(cell, columns)}));
  for (const column of columns) {
    const button = element("button", {type: "button", title: column.says}, column.title,
                           column.better ? element("small", {}, column.better === "lower" ? " ↓" : " ↑") : null);
    const title = element("th", {scope: "col", "aria-sort": "none"}, button);
    button.addEventListener("click", () => sortBy(column, title, rows, body));
    head.append(title);
  }
  body.append(...rows.map(each => each.row));
  const said = byId("found"), filter = byId("filter");
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const {row, text} of rows) row.hidden = !words.every(word => text.includes(word));
    said.textContent = `${rows.filter(each => !each.row.hidden).length} of ${rows.length} cells`;
  });
  said.textContent = `${rows.length} cells`;
  byId("cells-table").append(element("table", {class: "sortable"}, element("caption", {class: "unseen"}, "All cells"),
                                     element("thead", {}, head), body));
}

function tableRow(cell, columns) {
  const name = element("a", {href: `#cell-${encodeURIComponent(cell.name)}`}, keyOf(cell.model), labelOf(cell));
  return element("tr", {}, element("th", {scope: "row"}, name, stateOf(cell) ? element("small", {}, ` ${stateOf(cell)}`) : null),
    ...columns.map(column => element("td", {}, shownIn(column.of(cell)))));
}

const shownIn = value => typeof value === "number" ? number(value) : value === null || value === undefined ? "–" : shortly(value);

/** What a filter looks in: `depth=3`, `latent=32`, `dropout=0.2`, and the names as they stand. */
const wordsOf = (cell, columns) =>
  [cell.name, labelOf(cell), ...columns.map(column => `${column.title}=${shownIn(column.of(cell))} `)].join(" ").toLowerCase() + " ";

function sortBy(column, title, rows, body) {
  sorted.down = sorted.column === column ? !sorted.down : column.better === "higher";
  sorted.column = column;
  for (const each of title.parentElement.children) if (each.hasAttribute("aria-sort")) each.setAttribute("aria-sort", "none");
  title.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
  const value = ({cell}) => column.of(cell), none = each => value(each) === null || value(each) === "";
  const order = (a, b) => none(a) - none(b)
    || (sorted.down ? -1 : 1) * (typeof value(a) === "number" && typeof value(b) === "number"
      ? value(a) - value(b) : String(value(a)).localeCompare(String(value(b))));
  body.append(...[...rows].sort(order).map(each => each.row));
}

/** Two cells side by side: samples, and every measure with its difference. */
function comparePart(cell) {
  const others = data.cells.filter(other => other.dataset === cell.dataset && other !== cell);
  if (!others.length) return null;
  const select = element("select", {id: "other"}, element("option", {value: ""}, "another cell"),
    ...others.map(other => element("option", {value: other.name}, fullName(other)))), place = element("div", {class: "beside"});
  select.addEventListener("change", () => {
    const other = data.cells[byName.get(select.value)];
    place.replaceChildren(...(other ? sideBySide(cell, other) : []));
  });
  return element("div", {}, element("h4", {}, element("label", {for: "other"}, "Beside "), select), place);
}

function sideBySide(cell, other) {
  const pictures = [cell, other].map(each => {
    const found = source(picturesOf(byName.get(each.name)), "samples");
    return element("figure", {}, found ? element("img", {src: found, alt: `Samples of ${labelOf(each)}`}) : null,
                   element("figcaption", {}, fullName(each)));
  });
  const rows = data.measures.filter(measure => valueOf(cell, measure.key) && valueOf(other, measure.key)).map(measure => {
    const [ours, theirs] = [cell, other].map(each => valueOf(each, measure.key).value), change = theirs - ours;
    const word = !measure.better || !change ? "" : (change < 0) === (measure.better === "lower") ? " better" : " worse";
    return element("tr", {}, element("th", {scope: "row", title: measure.says}, measure.name), element("td", {}, number(ours)),
                   element("td", {}, number(theirs)), element("td", {class: "small"}, `${change > 0 ? "+" : ""}${number(change)}${word}`));
  });
  const head = ["", labelOf(cell), labelOf(other), "difference"].map(title => element("th", {scope: "col"}, title));
  return [element("div", {class: "pair"}, ...pictures), element("table", {class: "values"},
    element("caption", {class: "unseen"}, "Two cells"), element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows))];
}
