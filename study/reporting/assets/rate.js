"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const grids = shuffled(data.grids), marks = grids.map(() => null);
const MARKS = [1, 2, 3, 4, 5];
let place = 0;  // of the grid that is shown

const at = id => document.getElementById(id);

function shuffled(items) {
  const order = [...items];
  for (let last = order.length - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}

function show() {
  at("place").textContent = `Grid ${place + 1} of ${grids.length}`;
  at("grid").src = `data:image/webp;base64,${grids[place].picture}`;
  at("back").disabled = place === 0;
  for (const button of at("marks").children) button.setAttribute("aria-pressed", Number(button.textContent) === marks[place]);
}

function give(mark) {
  marks[place] = mark;
  place += 1;
  if (place < grids.length) show();
  else finish();
}

/** Kendall's tau-b of two lists over the pairs for which both(i, j) holds; null where one side is all ties. */
function kendall(xs, ys, both) {
  let agreeing = 0, pairs = 0, apart = [0, 0];
  for (let i = 0; i < xs.length; i++) for (let j = 0; j < i; j++) {
    if (!both(i, j)) continue;
    const x = Math.sign(xs[i] - xs[j]), y = Math.sign(ys[i] - ys[j]);
    agreeing += x * y;
    pairs += 1;
    apart = [apart[0] + Math.abs(x), apart[1] + Math.abs(y)];
  }
  return {tau: apart[0] && apart[1] ? agreeing / Math.sqrt(apart[0] * apart[1]) : null, pairs};
}

function agreement(measure) {
  const rated = grids.map((grid, index) => ({...grid, mark: marks[index], score: grid.measures[measure.key]}))
    .filter(each => each.what !== data.real && each.score !== null);
  const sign = measure.better === "lower" ? -1 : 1;
  return kendall(rated.map(each => each.mark), rated.map(each => sign * each.score), (i, j) => rated[i].dataset === rated[j].dataset);
}

const written = value => value === null ? "–" : value.toPrecision(3).replace("-", "−");

function row(cells, tag = "td") {
  const line = document.createElement("tr");
  for (const text of cells) line.append(Object.assign(document.createElement(tag), {textContent: text}));
  return line;
}

function finish() {
  at("rating").hidden = true;
  at("result").hidden = false;
  for (const measure of data.measures) {
    const {tau, pairs} = agreement(measure);
    at("agreement").tBodies[0].append(row([measure.name, written(tau), pairs]));
  }
  const heading = ["shown as", "mark", "what", "dataset", ...data.measures.map(measure => measure.name)];
  const lines = grids.map((grid, index) => [index + 1, marks[index], grid.what, grid.dataset,
                                            ...data.measures.map(measure => grid.measures[measure.key])]);
  at("grids").tHead.append(row(heading, "th"));
  for (const line of [...lines].sort((a, b) => b[1] - a[1])) {
    at("grids").tBodies[0].append(row([...line.slice(0, 4), ...line.slice(4).map(written)]));
  }
  const quoted = value => value === null ? "" : `"${String(value).replaceAll('"', '""')}"`;
  const csv = [heading, ...lines].map(line => line.map(quoted).join(",")).join("\r\n") + "\r\n";
  at("download").href = URL.createObjectURL(new Blob([csv], {type: "text/csv"}));
  at("result").focus();
}

for (const mark of MARKS) {
  const button = Object.assign(document.createElement("button"), {type: "button", textContent: mark});
  button.addEventListener("click", () => give(mark));
  at("marks").append(button);
}
at("back").addEventListener("click", () => { place -= 1; show(); });
addEventListener("keydown", event => {
  if (MARKS.includes(Number(event.key)) && place < grids.length && !event.ctrlKey && !event.metaKey && !event.altKey) give(Number(event.key));
});
show();
