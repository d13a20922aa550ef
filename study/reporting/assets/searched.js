// What was tuned: how much each hyperparameter matters, slices of the objective, and parallel coordinates.

const searchName = search => `${search.dataset}: ${search.model.toUpperCase()}`;
const objectiveName = search => data.fidelity.name + (search.rung ? ` after epoch ${search.rung}` : "");
const position = (limits, value) => "choices" in limits
  ? limits.choices.findIndex(choice => JSON.stringify(choice) === JSON.stringify(value)) / Math.max(1, limits.choices.length - 1)
  : limits.log ? Math.log(value / limits.low) / Math.log(limits.high / limits.low) : (value - limits.low) / (limits.high - limits.low);

function drawSearches() {
  const place = byId("searches");
  if (!data.searches.length) place.append(element("p", {}, "Nothing was tuned in this study."));
  for (const search of data.searches) {
    const shown = (search.proposals.length < search.count ? `, of which ${search.proposals.length} are drawn` : "")
      + (search.diverged ? `; ${search.diverged} diverged: they count as the worst and are not drawn` : "")
      + (search.rung ? `. All are compared after epoch ${search.rung}, the first rung, up to which none was stopped` : "");
    const charts = search.names.map((name, index) => slice(search, name, index));
    place.append(
      element("h3", {}, keyOf(search.model), searchName(search)),
      element("p", {class: "small"}, `${search.count.toLocaleString("en")} proposals${shown}. ${importanceOf(search)}`),
      element("div", {class: "charts"}, ...charts.filter(Boolean).map(each => element("div", {class: "chart"}, each)),
              search.names.length > 1 ? element("div", {class: "chart wide"}, parallel(search)) : null));
  }
}

/** Which hyperparameters tell good proposals from bad ones, in words. */
function importanceOf(search) {
  const ordered = Object.entries(search.importance).sort((a, b) => b[1] - a[1]);
  return ordered.length ? `What tells the better ones from the others: ${ordered.map(([name, share]) =>
    `${name} ${Math.round(100 * share)} %`).join(", ")} (PED-ANOVA, of ranks inside cells).` : "";
}

function slice(search, name, index) {
  const limits = search.ranges[name];
  const known = search.proposals.filter(row => row[1] !== null && row[2 + index] !== null && row[2 + index] !== undefined);
  if (!known.length) return null;
  const choices = "choices" in limits;
  const points = known.map(row => ({x: choices ? position(limits, row[2 + index]) * (limits.choices.length - 1) : row[2 + index],
    y: row[1], family: familyOf(search.model), hollow: true, label: `${row[0]}: ${name} ${shortly(row[2 + index])}, ${number(row[1])}`}));
  const named = choices ? `${name}: ${limits.choices.map((choice, place) => `${place} is ${shortly(choice)}`).join(", ")}` : name;
  return chart({title: `${data.fidelity.name} by ${name}`, xLabel: named, yLabel: objectiveName(search), points, wholeX: choices});
}

/** One line per proposal, from its values on their ranges to the objective; the better, the darker. */
function parallel(search) {
  const wide = 760, high = 260, known = search.proposals.filter(row => row[1] !== null);
  const up = axis(known.map(row => row[1]), high - 40, 34, {pad: 0.02}), last = search.names.length;
  const across = place => 60 + (wide - 130) * place / last, ordered = [...known].sort((a, b) => b[1] - a[1]);
  const root = drawn("svg", {viewBox: `0 0 ${wide} ${high}`, role: "img",
    "aria-label": `${searchName(search)}: ${known.length} proposals from ${search.names.join(", ")} to ${data.fidelity.name}`});
  root.append(drawn("text", {x: 12, y: 16, class: "chart-title"}, "Parallel coordinates: better proposals are darker"));
  for (const [place, row] of ordered.entries()) {
    const spots = search.names.map((name, index) => [across(index), high - 40 - (high - 74) * position(search.ranges[name], row[2 + index])]);
    spots.push([across(last), up.place(row[1])]);
    const d = "M" + spots.map(([x, y]) => `${x.toFixed(1)} ${(Number.isFinite(y) ? y : high - 40).toFixed(1)}`).join("L");
    root.append(drawn("path", {d, class: `line thin ${familyOf(search.model)}`,
                               "stroke-opacity": (0.06 + 0.7 * (place / ordered.length) ** 4).toFixed(2)}));
  }
  for (const [index, name] of [...search.names, data.fidelity.name].entries()) {
    const limits = search.ranges[name], ends = !limits ? up.ticks.slice(0, 1).concat(up.ticks.slice(-1)).map(number)
      : "choices" in limits ? [limits.choices[0], limits.choices.at(-1)].map(shortly) : [limits.low, limits.high].map(number);
    const x = across(index);
    root.append(drawn("line", {x1: x, x2: x, y1: 34, y2: high - 40, class: "grid"}),
                drawn("text", {x, y: high - 8, "text-anchor": "middle", class: "axis-label"}, name),
                ...[[ends[0], high - 26], [ends[1], 30]].map(([text, y]) =>
                  drawn("text", {x, y, "text-anchor": "middle"}, text)));
  }
  return root;
}
