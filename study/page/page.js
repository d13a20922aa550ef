const data = JSON.parse(document.getElementById("data").textContent);
const byName = new Map(data.cells.map((cell, index) => [cell.cell, index]));
const measures = new Map(data.measures.map(measure => [measure.key, measure]));
const families = [...new Set(["vae", "gan", "wgan", ...data.cells.map(cell => cell.model)])];
const familyOf = model => `family-${families.indexOf(model) % 6}`;
const dialogue = {current: null, from: null};   // the cell in the panel, and the link that opened it
const byId = id => document.getElementById(id);
const labelOf = cell => `${cell.model.toUpperCase()} ${cell.system || cell.net}, depth ${cell.depth}, latent ${cell.latent_dim}`;

// ---------------------------------------------------------------- values
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
  return cell.seeds > 0 && cell.diverged[0] === cell.seeds ? "diverged" : "";
}

// ---------------------------------------------------------------- pictures, decoded when they are asked for
const blocks = new Map();
function picturesOf(index) {
  if (!blocks.has(index)) {
    const block = byId(`pictures-${index}`);
    blocks.set(index, block ? JSON.parse(block.textContent) : {});
  }
  return blocks.get(index);
}

const epochsOf = (pictures, kind) => Object.keys(pictures[kind] || {}).map(Number).sort((a, b) => a - b);

/** The source of the last picture of a kind that was drawn by an epoch. */
function source(pictures, kind, until = Infinity) {
  const epochs = epochsOf(pictures, kind);
  const epoch = epochs.filter(each => each <= until).pop() ?? epochs[0];
  return epoch === undefined ? null : `data:image/webp;base64,${pictures[kind][epoch]}`;
}

function watchPictures() {
  const fill = image => {
    const found = source(picturesOf(Number(image.dataset.cell)), image.dataset.kind);
    if (found) image.src = found; else image.replaceWith(element("p", {class: "small"}, "no picture was kept"));
  };
  const seen = new IntersectionObserver(entries => entries.filter(entry => entry.isIntersecting).forEach(entry => {
    seen.unobserve(entry.target);
    fill(entry.target);
  }), {rootMargin: "800px"});
  document.querySelectorAll("img[data-cell]").forEach(image => seen.observe(image));
  addEventListener("beforeprint", () => document.querySelectorAll("img[data-cell]:not([src])").forEach(fill));
}

// ---------------------------------------------------------------- maps
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
  byId("reads").textContent = measure ? `${measure.reads}${measure.better ? `; ${measure.better} is better` : ""}` : "";
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
  const floor = measure && (data.floors[dataset] || {})[measure.key];
  return element("section", {class: "dataset", "aria-label": dataset}, element("h3", {}, dataset),
    element("p", {class: "small"}, floor === undefined || floor === null ? ""
      : `Real images against real ones: ${number(floor)}.`),
    element("div", {class: "maps"}, ...[...groups.values()].map(group => oneMap(dataset, group, measure, shade))));
}

/** 0 (worst of the dataset) to 1 (best): logarithmic where values span more than a factor of 20. */
function shadeOf(cells, measure) {
  const values = measure ? cells.filter(cell => !stateOf(cell)).map(cell => valueOf(cell, measure.key)?.value).filter(Number.isFinite) : [];
  if (new Set(values).size < 2) return () => 0.3;
  const {place} = axis(values, 0, 1);
  return value => measure.better === "lower" ? 1 - place(value) : place(value);
}

function oneMap(dataset, cells, measure, shade) {
  const depths = [...new Set(cells.map(cell => cell.depth))].sort((a, b) => a - b);
  const latents = [...new Set(cells.map(cell => cell.latent_dim))].sort((a, b) => a - b);
  const name = `${cells[0].model.toUpperCase()} · ${cells[0].net}`;
  const head = element("tr", {}, element("th", {scope: "col", class: "corner"}, "depth\u00a0↓ latent\u00a0→"),
                       ...latents.map(latent => element("th", {scope: "col"}, String(latent))));
  const rows = depths.map(depth => element("tr", {}, element("th", {scope: "row"}, String(depth)), ...latents.map(latent => {
    const here = cells.filter(cell => cell.depth === depth && cell.latent_dim === latent);
    return element("td", {}, ...(here.length ? here.map(cell => square(cell, measure, shade, here.length > 1))
                                             : [element("span", {class: "absent"}, "–")]));
  })));
  const map = element("table", {class: "map"}, element("caption", {}, element("i", {class: `key ${familyOf(cells[0].model)}`,
    "aria-hidden": "true"}), name, element("span", {class: "unseen"}, ` on ${dataset}, ${measure ? measure.name : ""}`)),
    element("thead", {}, head), element("tbody", {}, ...rows));
  map.querySelectorAll("a").forEach((link, index) => link.setAttribute("tabindex", index ? "-1" : "0"));
  map.addEventListener("keydown", moveInMap);
  return element("div", {class: "scroll"}, map);
}

function square(cell, measure, shade, several) {
  const found = measure && valueOf(cell, measure.key), state = stateOf(cell);
  const seeds = `${cell.seeds} seed${cell.seeds === 1 ? "" : "s"}`;
  const lost = cell.diverged[0] && !state ? `, ${cell.diverged[0]} diverged` : "";
  const text = state || (found ? number(found.value) : "–");
  const range = found && !state ? rangeText(found) : "";
  const level = found && !state ? shade(found.value) : 0;
  const named = several ? cell.system || Object.entries(cell.settings).map(([key, value]) => `${key} ${value}`).join(" ") : null;
  return element("a", {href: `#cell-${encodeURIComponent(cell.cell)}`, "data-cell-name": cell.cell,
    class: `square${cell.stage === "confirm" ? "" : " search"}${state ? " lost" : ""}${level > 0.74 ? " high" : level > 0.52 ? " middle" : ""}`,
    style: `--level:${(100 * level).toFixed(0)}%`,
    "aria-label": `${labelOf(cell)}: ${measure ? measure.name : ""} ${text} ${range}, ${seeds}${lost}` +
                  `${cell.stage === "confirm" ? "" : ", search only"}. Show what it draws`},
    named ? element("span", {class: "named"}, named) : null, element("b", {}, text), element("small", {}, range.length > 24 ? "" : range),
    element("small", {}, cell.stage === "confirm" ? seeds + lost : "search"));
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

// ---------------------------------------------------------------- the panel of one cell
function openCell(name) {
  const index = byName.get(name), panel = byId("panel");
  if (index === undefined) return;
  if (!panel.contains(document.activeElement)) dialogue.from = document.activeElement;
  dialogue.current = name;
  panel.replaceChildren(...panelOf(data.cells[index], picturesOf(index)));
  panel.hidden = false;
  byId("map-layout").classList.add("open");
  panel.scrollTop = 0;
  markCurrent();
  document.querySelector("a.square[aria-current]")?.scrollIntoView({block: "nearest"});   // opening has moved the maps
  panel.focus({preventScroll: true});
}

function closeCell() {
  byId("panel").hidden = true;
  byId("map-layout").classList.remove("open");
  dialogue.current = null;
  markCurrent();
  if (dialogue.from?.isConnected) dialogue.from.focus();
}

function panelOf(cell, pictures) {
  const close = element("button", {type: "button", class: "close", "aria-label": "Close"}, "×");
  close.addEventListener("click", closeCell);
  const state = stateOf(cell), lost = cell.diverged[0] ? `; ${cell.diverged[0]} of ${cell.seeds} trainings diverged` : "";
  const stage = cell.stage === "confirm" ? `${cell.seeds} seed${cell.seeds === 1 ? "" : "s"}, held-out images`
                                         : "search only: one seed, validation images";
  return [close, element("h3", {id: "panel-title"}, element("i", {class: `key ${familyOf(cell.model)}`, "aria-hidden": "true"}),
                         labelOf(cell)),
    element("p", {class: "small"}, `${cell.dataset}; ${stage}${lost}`),
    state || cell.error ? element("p", {class: "notice"}, cell.error || `This cell ${state}.`) : null,
    ...picturePart(cell, pictures), valuesPart(cell), ...curvesPart(cell), aboutPart(cell)].filter(Boolean);
}

const CAPTIONS = {samples: "Samples of the first seed, from the same noise at every epoch",
  reconstructions: "Real images, and below each what the model makes of it",
  nearest: "Samples, and below each its nearest training image by pixels",
  interpolation: "From one latent point to another, along a path of equal norm",
  "interpolation-real": "From one real image (left) to another (right)",
  traversal: "One latent unit per row, moved across the prior, by falling KL divergence",
  plane: "The plane of the two latents, in equal shares of the prior",
  beside: "Real images, and below each row samples"};

function picturePart(cell, pictures) {
  const kinds = [...Object.keys(CAPTIONS).filter(kind => pictures[kind]), ...Object.keys(pictures).filter(kind => !CAPTIONS[kind])];
  if (!kinds.length) return [element("p", {class: "small"}, "No pictures of this cell are in this page.")];
  const epochs = [...new Set(kinds.flatMap(kind => epochsOf(pictures, kind)))].sort((a, b) => a - b);
  const images = kinds.map(kind => {
    const image = element("img", {alt: `${kind} of ${labelOf(cell)}`, "data-kind": kind, src: source(pictures, kind)});
    const moves = epochsOf(pictures, kind).length > 1;
    return {kind, image, moves, figure: element("figure", {}, image, element("figcaption", {}, CAPTIONS[kind] || kind))};
  });
  const moving = images.filter(each => each.moves), still = images.filter(each => !each.moves);
  return [...(moving.length ? [slider(cell, pictures, epochs, moving)] : []),
          ...[...moving, ...still].map(each => each.figure)];
}

function slider(cell, pictures, epochs, moving) {
  const said = element("output", {for: "epoch"});
  const input = element("input", {type: "range", id: "epoch", min: "0", max: String(epochs.length - 1), step: "1",
                                  value: String(epochs.length - 1)});
  const show = () => {
    const epoch = epochs[Number(input.value)];
    said.textContent = `epoch ${epoch} of ${cell.epochs}`;
    input.setAttribute("aria-valuetext", said.textContent);
    for (const {kind, image} of moving) image.src = source(pictures, kind, epoch);
  };
  input.addEventListener("input", show);
  show();
  return element("p", {class: "slider"}, element("label", {for: "epoch"}, "Epoch"), input, said);
}

function valuesPart(cell) {
  const floor = data.floors[cell.dataset] || {}, hasFloor = Object.keys(floor).length > 0;
  const rows = [];
  let group = "";
  for (const measure of data.measures) {
    const found = valueOf(cell, measure.key);
    if (!found) continue;
    if (measure.group !== group) {
      group = measure.group;
      rows.push(element("tr", {class: "group"}, element("th", {scope: "rowgroup", colspan: hasFloor ? "4" : "3"}, group)));
    }
    rows.push(element("tr", {}, element("th", {scope: "row", title: measure.reads}, measure.name),
      element("td", {}, number(found.value)), element("td", {class: "small"}, measure.group === "Cost" ? "" : rangeText(found)),
      hasFloor ? element("td", {}, floor[measure.key] === undefined ? "" : number(floor[measure.key])) : null));
  }
  return element("table", {class: "values"}, element("caption", {}, "Measures"),
    element("thead", {}, element("tr", {}, ...["", "value", "95 % or points", ...(hasFloor ? ["real"] : [])].map(title =>
      element("th", {scope: "col"}, title)))), element("tbody", {}, ...rows));
}

function curvesPart(cell) {
  const names = Object.keys(cell.curves).sort((a, b) => (b === "quality/fd_rel") - (a === "quality/fd_rel") || a.localeCompare(b))
    .filter(name => name === "quality/fd_rel" || name.startsWith("loss/"));
  return names.length ? [element("h4", {}, "Curves: median and range over seeds"),
    ...names.map(name => {
      const curve = cell.curves[name], short = name.replace(/^(loss|quality)\//, "").replace("/", " ");
      return chart({title: short, xLabel: "epoch", yLabel: short, wholeX: true,
        lines: [{name: short, family: familyOf(cell.model), x: curve.epochs, y: curve.middle, low: curve.low, high: curve.high}]});
    })] : [];
}

function aboutPart(cell) {
  const rows = [["params", pairs(cell.params)], ["settings", pairs(cell.settings)],
    ["budget", `${cell.epochs} epochs of batches of ${cell.batch_size}`], ["proposed by", cell.proposed_by],
    ["trials", cell.trials.join(", ")], ["MLflow run", runText(cell.run)],
    ["samples", `python study/sample.py --space ${data.space} --trial ${cell.trials[0]} -n 64 --out grid.png`]];
  return element("table", {class: "values about"}, element("caption", {}, "Params, cost and where it is recorded"),
    element("tbody", {}, ...rows.map(([name, value]) => element("tr", {}, element("th", {scope: "row"}, name),
                                                                element("td", {}, value)))));
}

const pairs = table => Object.entries(table).map(([key, value]) =>
  `${key} ${typeof value === "number" ? number(value) : typeof value === "object" ? JSON.stringify(value) : value}`).join(", ") || "none";

function runText(run) {
  if (!run) return "not tracked";
  const server = /^https?:\/\//.test(run.store[0] || "") ? run.store[0].replace(/\/$/, "") : "http://127.0.0.1:5000";
  return element("a", {href: `${server}/#/experiments/${encodeURIComponent(run.experiment)}/runs/${encodeURIComponent(run.id)}`,
                       rel: "noreferrer"}, run.id, server.includes("127.0.0.1") ? " (with make ui)" : "");
}

// ---------------------------------------------------------------- tuning and cost
function drawTuning() {
  for (const place of document.querySelectorAll("[data-chart=tuning]")) {
    const rows = data.tuning.filter(row => row.dataset === place.dataset.dataset), lines = [], points = [];
    for (const row of rows) {
      const family = familyOf(row.model), name = row.model.toUpperCase(), steps = curve => curve.map((_, index) => index + 1);
      if (row.random.length) lines.push({name: `${name}, random`, family, x: steps(row.random), y: row.random});
      if (row.tpe.length) lines.push({name: `${name}, adviser`, family, x: steps(row.tpe), y: row.tpe, dash: "5 4"});
      if (row.default !== null) points.push({x: 0, y: row.default, family, label: `${name}, published defaults: ${number(row.default)}`});
    }
    place.append(chart({title: place.dataset.dataset, xLabel: "proposals", yLabel: "fd_rel, best of k", lines, points, wholeX: true}),
      legend([...rows.map(row => [familyOf(row.model), row.model.toUpperCase()]),
              ...(lines.some(line => !line.dash) ? [["", "random proposals, expected", "solid"]] : []),
              ...(lines.some(line => line.dash) ? [["", "adviser's, as they came", "dashed"]] : [])]));
    if (!rows.some(row => row.random.length)) place.append(element("p", {class: "small"}, "No random proposals were made here."));
  }
}

function fillCosts() {
  const select = byId("cost"), wanted = ["time/train_s", "time/step_ms", "cost/flops_per_image", "cost/parameters"];
  const there = wanted.filter(key => measures.has(key));
  select.append(...there.map(key => element("option", {value: key}, measures.get(key).name)));
  select.addEventListener("change", drawCosts);
  select.parentElement.hidden = !there.length;
}

function drawCosts() {
  const cost = measures.get(byId("cost").value), place = byId("cost-charts");
  place.replaceChildren();
  if (!cost) return;
  for (const dataset of data.datasets) {
    for (const key of ["quality/fd_rel", "quality/coverage"]) {
      const cells = data.cells.filter(cell => cell.dataset === dataset && !stateOf(cell) && valueOf(cell, key) && valueOf(cell, cost.key));
      if (!cells.length) continue;
      const points = cells.map(cell => ({x: valueOf(cell, cost.key).value, y: valueOf(cell, key).value, family: familyOf(cell.model),
        hollow: cell.net !== "fc", href: `#cell-${encodeURIComponent(cell.cell)}`,
        label: `${labelOf(cell)}: ${measures.get(key).name} ${number(valueOf(cell, key).value)}, ${cost.name} ${number(valueOf(cell, cost.key).value)}`}));
      const models = [...new Set(cells.map(cell => cell.model))];
      place.append(element("div", {class: "chart"},
        chart({title: `${dataset}: ${measures.get(key).name}`, xLabel: cost.name, yLabel: measures.get(key).name, points}),
        legend([...models.map(model => [familyOf(model), model.toUpperCase()]),
                ...(points.some(point => point.hollow) ? [["", "other nets than fc", "ring"]] : [])])));
    }
  }
}

// ---------------------------------------------------------------- start
function follow() {
  const hash = decodeURIComponent(location.hash);
  if (hash.startsWith("#cell-") && hash.slice(6) !== dialogue.current) openCell(hash.slice(6));
}

document.addEventListener("click", event => {
  const link = event.target.closest("a");
  const place = link && decodeURIComponent(link.getAttribute("href") || "");
  if (place?.startsWith("#cell-")) {
    link.focus();
    openCell(place.slice(6));
  }
});
document.addEventListener("keydown", event => {
  if (event.key === "Escape" && !byId("panel").hidden) closeCell();
});
addEventListener("hashchange", follow);
fillMeasures();
drawMaps();
watchPictures();
drawTuning();
fillCosts();
drawCosts();
follow();
