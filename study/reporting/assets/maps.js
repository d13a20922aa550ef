// The data, and maps of depth by latent size whose squares are links to cells.

const data = JSON.parse(document.getElementById("data").textContent);
const byName = new Map(data.cells.map((cell, index) => [cell.name, index]));
const measures = new Map(data.measures.map(measure => [measure.key, measure]));
const families = [...new Set(["vae", "gan", "wgan", ...data.cells.map(cell => cell.model)])];
const familyOf = model => `family-${families.indexOf(model) % 6}`;
const dialogue = {current: null, from: null};   // the cell in the panel, and the link that opened it
const keyOf = model => element("i", {class: `key ${familyOf(model)}`, "aria-hidden": "true"});
const byId = id => document.getElementById(id);
const labelOf = cell =>
  `${cell.model.toUpperCase()} ${cell.system || cell.net}, depth ${cell.depth}, latent ${cell.latent_dim}`;

function valueOf(cell, key) {
  const found = cell.values[key];
  if (!found) return null;
  const points = Array.isArray(found[1]) ? found[1] : null;
  return {value: found[0], points, interval: points ? null : [found[1], found[2]]};
}

function rangeText(found) {
  if (found.interval) return `[${number(found.interval[0])}, ${number(found.interval[1])}]`;
  return found.points.length > 1 ? `(${found.points.map(number).join("; ")})` : "";
}

function stateOf(cell) {
  if (cell.status === "failed") return "failed";
  return cell.replicates > 0 && cell.diverged[0] === cell.replicates ? "diverged" : "";
}

function fillMeasures() {
  const select = byId("measure"), groups = new Map();
  for (const measure of data.measures) {
    if (!groups.has(measure.group)) groups.set(measure.group, element("optgroup", {label: measure.group}));
    groups.get(measure.group).append(element("option", {value: measure.key}, measure.name));
  }
  select.append(...groups.values());
  select.addEventListener("change", drawMaps);
}

function drawMaps() {
  const measure = measures.get(byId("measure").value) || data.measures[0];
  const list = byId("map-list");
  byId("reads").textContent = measure ? `${measure.says}${measure.better ? `; ${measure.better} is better` : ""}` : "";
  list.replaceChildren(...data.datasets.map(dataset => datasetMaps(dataset, measure)));
  markCurrent();
}

function datasetMaps(dataset, measure) {
  const cells = data.cells.filter(cell => cell.dataset === dataset);
  const shade = shadeOf(cells, measure), groups = new Map();
  for (const net of new Set(cells.map(cell => cell.net))) {   // a row of families for each net
    for (const cell of cells.filter(each => each.net === net)) {
      const key = JSON.stringify([cell.model, net]);
      groups.set(key, [...(groups.get(key) || []), cell]);
    }
  }
  const real = measure && (data.realBaselines[dataset] || {})[measure.key];
  return element("section", {class: "dataset", "aria-label": dataset}, element("h3", {}, dataset),
    element("p", {class: "small"}, !real ? ""
      : `Real images against real ones: ${number(real[0])} ± ${number(real[1])}.`),
    element("div", {class: "maps"}, ...[...groups.values()].map(group => oneMap(dataset, group, measure, shade))));
}

/** Whether a scale may be logarithmic: shares, which are better higher, are not shown so. */
const logarithmic = measure => measure.better === "higher" ? false : undefined;

/** 0 (worst of the dataset) to 1 (best): logarithmic where values span more than a factor of 20. */
function shadeOf(cells, measure) {
  const alive = measure ? cells.filter(cell => !stateOf(cell)) : [];
  const values = alive.map(cell => valueOf(cell, measure.key)?.value).filter(Number.isFinite);
  if (new Set(values).size < 2) return () => 0.3;
  const {place} = axis(values, 0, 1, {log: logarithmic(measure)});
  return value => measure.better === "lower" ? 1 - place(value) : place(value);
}

function oneMap(dataset, cells, measure, shade) {
  const depths = [...new Set(cells.map(cell => cell.depth))].sort((a, b) => a - b);
  const latents = [...new Set(cells.map(cell => cell.latent_dim))].sort((a, b) => a - b);
  const name = `${cells[0].model.toUpperCase()} · ${cells[0].net}`;
  const head = element("tr", {}, element("th", {scope: "col", class: "corner"}, "depth\u00a0↓ latent\u00a0→"),
                       ...latents.map(latent => element("th", {scope: "col"}, String(latent))));
  const place = (depth, latent) => {
    const here = cells.filter(cell => cell.depth === depth && cell.latent_dim === latent);
    const squares = here.map(cell => square(cell, measure, shade, here.length > 1 ? nameAmong(cell, here) : null));
    return element("td", {}, ...(here.length ? squares : [element("span", {class: "absent"}, "–")]));
  };
  const rows = depths.map(depth => element("tr", {}, element("th", {scope: "row"}, String(depth)),
                                           ...latents.map(latent => place(depth, latent))));
  const caption = element("caption", {}, keyOf(cells[0].model), name,
                          element("span", {class: "unseen"}, ` on ${dataset}, ${measure ? measure.name : ""}`));
  const map = element("table", {class: "map"}, caption, element("thead", {}, head), element("tbody", {}, ...rows));
  map.querySelectorAll("a").forEach((link, index) => link.setAttribute("tabindex", index ? "-1" : "0"));
  map.addEventListener("keydown", moveInMap);
  return element("div", {class: "scroll"}, map);
}

/** What tells a cell from others of the same depth and latent size. */
function nameAmong(cell, others) {
  const differing = Object.keys(Object.assign({}, ...others.map(each => each.settings)))
    .filter(key => new Set(others.map(each => JSON.stringify(each.settings[key]))).size > 1);
  const said = key => key in cell.settings ? shortly(cell.settings[key]) : "default";
  return cell.system || differing.map(key => `${key} ${said(key)}`).join(", ");
}

function square(cell, measure, shade, named) {
  const found = measure && valueOf(cell, measure.key), state = stateOf(cell);
  const replicates = `${cell.replicates} replicate${cell.replicates === 1 ? "" : "s"}`;
  const lost = cell.diverged[0] && !state ? `, ${cell.diverged[0]} diverged` : "";
  const text = state || (found ? number(found.value) : "–");
  const range = found && !state ? rangeText(found) : "";
  const level = found && !state ? shade(found.value) : 0;
  return element("a", {href: `#cell-${encodeURIComponent(cell.name)}`, "data-cell-name": cell.name,
    class: ["square", cell.stage === "confirm" ? "" : "search", state ? "lost" : "",
            level > 0.74 ? "high" : level > 0.52 ? "middle" : ""].join(" "),
    style: `--level:${(100 * level).toFixed(0)}%`,
    "aria-label": `${labelOf(cell)}${named ? `, ${named}` : ""}: ${measure ? measure.name : ""} ${text} ${range}, ` +
                  `${replicates}${lost}` +
                  `${cell.stage === "confirm" ? "" : ", search only"}. Show what it draws`},
    named ? element("span", {class: "named"}, named) : null, element("b", {}, text),
    element("small", {}, range.length > 24 ? "" : range),
    element("small", {}, cell.stage === "confirm" ? replicates + lost : "search"));
}

/** Arrow keys, Home and End move the focus; only one square per map is in the tab order. */
function moveInMap(event) {
  const step = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]}[event.key];
  const square = event.target.closest("td");
  if (!step || !square) return;
  event.preventDefault();
  const rows = [...event.currentTarget.tBodies[0].rows];
  let row = rows.indexOf(square.parentElement), column = square.cellIndex;
  do {
    row += step[0];
    column += step[1];
  } while (rows[row]?.cells[column] && !rows[row].cells[column].querySelector("a"));
  const link = rows[row]?.cells[column]?.querySelector("a");
  if (!link) return;
  event.currentTarget.querySelectorAll("a").forEach(each => each.setAttribute("tabindex", "-1"));
  link.setAttribute("tabindex", "0");
  link.focus();
}

function markCurrent() {
  for (const link of document.querySelectorAll("a.square")) {
    if (dialogue.current === link.dataset.cellName) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}
