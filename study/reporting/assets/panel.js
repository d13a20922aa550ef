// The panel of one cell, and the pictures, which are decoded when they are asked for.

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
  const lost = cell.diverged[0] ? `; ${cell.diverged[0]} of ${cell.replicates} trainings diverged` : "";
  const state = stateOf(cell);
  const stage = cell.stage === "confirm" ? `${cell.replicates} replicate${cell.replicates === 1 ? "" : "s"}, held-out images`
                                         : "search only: the best proposal of each replicate, validation images";
  return [close, element("h3", {id: "panel-title"}, keyOf(cell.model), fullName(cell)),
    element("p", {class: "small"}, `${cell.dataset}; ${stage}${lost}`),
    state || cell.error ? element("p", {class: "notice"}, cell.error || `This cell ${state}.`) : null,
    ...picturePart(cell, pictures), comparePart(cell), ...curvesPart(cell), aboutPart(cell)].filter(Boolean);
}

/** The label, and what tells the cell from its neighbours in the same square of the map. */
function fullName(cell) {
  const same = ["dataset", "model", "net", "depth", "latent_dim"];
  const here = data.cells.filter(other => same.every(word => other[word] === cell[word]));
  return labelOf(cell) + (here.length > 1 && !cell.system ? `, ${nameAmong(cell, here)}` : "");
}

const CAPTIONS = {samples: "Samples of the first replicate, from the same noise at every epoch",
  reconstructions: "Real images, and below each what the model makes of it",
  nearest: "Samples, and below each its nearest training image by pixels",
  interpolation: "From one latent point to another, along a path of equal norm",
  "interpolation-real": "From one real image (left) to another (right)",
  traversal: "One latent unit per row, moved across the prior, by falling KL divergence",
  plane: "The plane of the two latents, in equal shares of the prior",
  beside: "Real images, and below each row samples",
  classes: "The classes of samples, as the classifier sees them, beside those of real images",
  latents: "Where real images lie among the latents, by class: means of their posteriors"};

function picturePart(cell, pictures) {
  const kinds = [...Object.keys(CAPTIONS).filter(kind => pictures[kind]),
                 ...Object.keys(pictures).filter(kind => !CAPTIONS[kind])];
  if (!kinds.length) return [element("p", {class: "small"}, "No pictures of this cell are in this page."), valuesPart(cell)];
  const epochs = [...new Set(kinds.flatMap(kind => epochsOf(pictures, kind)))].sort((a, b) => a - b);
  const images = kinds.map(kind => {
    const image = element("img", {alt: `${kind} of ${labelOf(cell)}`, "data-kind": kind, src: source(pictures, kind)});
    const moves = epochsOf(pictures, kind).length > 1;
    const caption = element("figcaption", {}, CAPTIONS[kind] || kind);
    return {kind, image, moves, figure: element("figure", {}, image, caption)};
  });
  const moving = images.filter(each => each.moves), still = images.filter(each => !each.moves);
  return [...(moving.length ? [slider(cell, pictures, epochs, moving)] : []), ...moving.map(each => each.figure),
          valuesPart(cell), ...still.map(each => each.figure)];
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
  const real = data.realBaselines[cell.dataset] || {}, hasReal = Object.keys(real).length > 0;
  const rows = [];
  let group = "";
  for (const measure of data.measures) {
    const found = valueOf(cell, measure.key);
    if (!found) continue;
    if (measure.group !== group) {
      group = measure.group;
      const heading = element("th", {scope: "rowgroup", colspan: hasReal ? "4" : "3"}, group);
      rows.push(element("tr", {class: "group"}, heading));
    }
    rows.push(element("tr", {}, element("th", {scope: "row", title: measure.says}, measure.name),
      element("td", {}, number(found.value)),
      element("td", {class: "small"}, measure.group === "Cost" ? "" : rangeText(found)),
      hasReal ? element("td", {}, real[measure.key] === undefined ? "" : number(real[measure.key][0])) : null));
  }
  const titles = ["", "value", "95 % or points", ...(hasReal ? ["real"] : [])];
  const head = element("tr", {}, ...titles.map(title => element("th", {scope: "col"}, title)));
  return element("table", {class: "values"}, element("caption", {}, "Measures"), element("thead", {}, head),
                 element("tbody", {}, ...rows));
}

function aboutPart(cell) {
  const rows = [["params", pairs(cell.params)], ["settings", pairs(cell.settings)],
    ["budget", `${cell.epochs} epochs of batches of ${cell.batch_size}`], ["proposed by", cell.proposed_by],
    ["trials", cell.trials.join(", ")], ["MLflow run", runText(cell.run)],
    ["MLflow search", `tags.cell = '${cell.name}'`], ["again", cell.launch], ["one training again", cell.train],
    ["samples", `${cell.sample} --trial ${cell.trials[0]} -n 64 --out grid.png`]];
  return element("table", {class: "values about"}, element("caption", {}, "Params, cost and where it is recorded"),
    element("tbody", {}, ...rows.map(([name, value]) => element("tr", {}, element("th", {scope: "row"}, name),
                                                                element("td", {}, value)))));
}

const shortly = value => typeof value === "number" ? number(value)
  : typeof value === "object" ? JSON.stringify(value) : String(value);
const pairs = table => Object.entries(table).map(([key, value]) => `${key} ${shortly(value)}`).join(", ") || "none";

function runText(run) {
  if (!run) return "not tracked";
  const server = /^https?:\/\//.test(run.store) ? run.store.replace(/\/$/, "") : "http://127.0.0.1:5000";
  const [experiment, id] = [run.experiment, run.id].map(encodeURIComponent);
  return element("a", {href: `${server}/#/experiments/${experiment}/runs/${id}`, rel: "noreferrer"}, run.id,
                 server.includes("127.0.0.1") ? " (while make ui runs)" : "");
}
