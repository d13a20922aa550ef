// Curves over epochs: of one cell in its panel, its trainings faint below their median, and of families, its cells faint below
// the best of them.

const MOST_CURVES = 24;   // cells of a family that are drawn
const shortName = name => name.replace(/^(loss|quality)\//, "").replace("/", " ");

function curvesPart(cell) {
  const names = Object.keys(cell.curves).sort(), losses = names.filter(name => name.startsWith("loss/"));
  const players = losses.filter(name => name.endsWith("/loss"));  // of a GAN on one axis
  const alone = losses.filter(name => !players.includes(name));
  const measured = names.filter(name => !losses.includes(name) && name !== data.fidelity.key);
  const charts = [[data.fidelity.key].filter(name => cell.curves[name]), players, ...[...measured, ...alone].map(name => [name])];
  const apart = names.length ? cell.curves[names[0]].each.length : 0;
  const said = `Curves: median over replicates, and each of ${cell.replicates > apart ? `the first ${apart} of ${cell.replicates}` : "them"}`;
  return names.length ? [element("h4", {}, said),
    ...charts.filter(chart => chart.length).map(names => curvesChart(cell, names))] : [];
}

function curvesChart(cell, names) {
  const title = names.map((name, index) => shortName(name) + (index ? " (dashed)" : "")).join(", ");
  return chart({title, xLabel: "epoch", yLabel: names.length > 1 ? "loss" : shortName(names[0]), wholeX: true,
    lines: names.map((name, index) => {
      const {epochs, middle, each} = cell.curves[name];
      return {name: shortName(name), family: familyOf(cell.model), x: epochs, y: middle, each, dash: index ? "5 4" : null};
    })});
}

function fillFamilyCurves() {
  const select = byId("curve"), names = [...new Set(data.cells.flatMap(cell => Object.keys(cell.curves)))].sort();
  const ordered = [...names.filter(name => !name.startsWith("loss/")), ...names.filter(name => name.startsWith("loss/"))];
  select.append(...ordered.map(name => element("option", {value: name}, shortName(name))));
  select.addEventListener("change", drawFamilyCurves);
  byId("family-curves-part").hidden = !names.length;
}

function drawFamilyCurves() {
  const name = byId("curve").value, groups = new Map();
  for (const cell of data.cells.filter(cell => cell.curves[name])) {
    const key = JSON.stringify([cell.dataset, cell.model]);
    groups.set(key, [...(groups.get(key) || []), cell]);
  }
  byId("family-curves").replaceChildren(...[...groups.values()].map(cells => familyCurves(cells, name)));
}

function familyCurves(cells, name) {
  const value = cell => stateOf(cell) ? Infinity : valueOf(cell, data.fidelity.key)?.value ?? Infinity;
  const [best, ...others] = [...cells].sort((a, b) => value(a) - value(b) || 0), family = familyOf(best.model);
  const every = Math.ceil(others.length / MOST_CURVES), drawnOthers = others.filter((_, place) => place % every === 0);
  const lines = drawnOthers.map(cell => ({name: labelOf(cell), family: `faint ${family}`, x: cell.curves[name].epochs, y: cell.curves[name].middle}));
  lines.push({name: labelOf(best), family, x: best.curves[name].epochs, y: best.curves[name].middle});
  const left = others.length - drawnOthers.length;
  return element("div", {class: "chart"}, chart({title: `${best.dataset}: ${best.model.toUpperCase()}`, xLabel: "epoch",
                                                 yLabel: shortName(name), wholeX: true, lines}),
    element("p", {class: "small"}, "Bold: ", element("a", {href: `#cell-${encodeURIComponent(best.name)}`}, labelOf(best)),
            left ? `; ${left} of ${cells.length} cells are not drawn.` : "."));
}
