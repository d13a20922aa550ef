// Tuning, cost and curves of families, and the start of it all.

function drawTuning() {
  for (const place of document.querySelectorAll("[data-chart=tuning]")) {
    const rows = data.tuning.filter(row => row.dataset === place.dataset.dataset), lines = [], points = [];
    for (const row of rows) {
      const family = familyOf(row.model), name = row.model.toUpperCase();
      const steps = curve => curve.map((_, index) => index + 1);
      if (row.random.length) lines.push({name: `${name}, random`, family, x: steps(row.random), y: row.random});
      if (row.tpe.length) lines.push({name: `${name}, sampler`, family, x: steps(row.tpe), y: row.tpe, dash: "5 4"});
      const label = `${name}, published defaults: ${number(row.default)}`;
      if (row.default !== null) points.push({x: 0, y: row.default, family, label});
      const tuned = `${name}, best of ${row.proposals} proposals: ${number(row.best)}`;
      if (row.best !== null) points.push({x: row.proposals, y: row.best, family, label: tuned});
    }
    place.append(
      chart({title: place.dataset.dataset, xLabel: "proposals", yLabel: `${data.fidelity.name}, best of k`, lines,
             points, wholeX: true}),
      legend([...rows.map(row => [familyOf(row.model), row.model.toUpperCase()]),
              ...(lines.some(line => !line.dash) ? [["", "random proposals, expected", "solid"]] : []),
              ...(lines.some(line => line.dash) ? [["", "sampler's, as they came", "dashed"]] : [])]));
  }
}

function fillCosts() {
  const select = byId("cost"), wanted = ["time/train_s", "time/step_ms", "cost/flops_per_image", "cost/parameters"];
  const there = wanted.filter(key => measures.has(key));
  select.append(...there.map(key => element("option", {value: key}, measures.get(key).name)));
  select.addEventListener("change", drawCosts);
  select.parentElement.hidden = !there.length;
}

function costPoint(cell, cost, measure) {
  const x = valueOf(cell, cost.key).value, y = valueOf(cell, measure.key).value;
  return {x, y, family: familyOf(cell.model), hollow: cell.net !== "fc", href: `#cell-${encodeURIComponent(cell.name)}`,
          label: `${labelOf(cell)}: ${measure.name} ${number(y)}, ${cost.name} ${number(x)}`};
}

function drawCosts() {
  const cost = measures.get(byId("cost").value), place = byId("cost-charts");
  place.replaceChildren();
  if (!cost) return;
  for (const dataset of data.datasets) {
    for (const key of [data.fidelity.key, data.coverage.key]) {
      const cells = data.cells.filter(cell => cell.dataset === dataset && !stateOf(cell) && cell.values[key] &&
                                              cell.values[cost.key]);
      if (!cells.length) continue;
      const points = cells.map(cell => costPoint(cell, cost, measures.get(key)));
      const models = [...new Set(cells.map(cell => cell.model))];
      place.append(element("div", {class: "chart"},
        chart({title: `${dataset}: ${measures.get(key).name}`, xLabel: cost.name, yLabel: measures.get(key).name,
               yLog: logarithmic(measures.get(key)), points}),
        legend([...models.map(model => [familyOf(model), model.toUpperCase()]),
                ...(points.some(point => point.hollow) ? [["", "other nets than fc", "ring"]] : [])])));
    }
  }
}

function follow() {
  const hash = decodeURIComponent(location.hash);
  if (hash.startsWith("#cell-") && hash.slice(6) !== dialogue.current) openCell(hash.slice(6));
}

document.addEventListener("click", event => {
  const link = event.target.closest("a[href^='#']");
  if (!link) return;
  const place = decodeURIComponent(link.getAttribute("href").slice(1));
  if (location.protocol === "blob:") {   // a frame whose address may not change, such as MLflow's view of a page
    event.preventDefault();
    byId(place)?.scrollIntoView();
  }
  if (place.startsWith("cell-")) {
    link.focus();
    openCell(place.slice(5));
  }
});
document.addEventListener("keydown", event => {
  if (event.key === "Escape" && !byId("panel").hidden) closeCell();
});
addEventListener("hashchange", follow);
addEventListener("beforeprint", () => {   // what is folded is printed too, and folded again afterwards
  const folded = [...document.querySelectorAll("details:not([open])")];
  for (const each of folded) each.open = true;
  addEventListener("afterprint", () => folded.forEach(each => { each.open = false; }), {once: true});
});
fillMeasures();
drawMaps();
watchPictures();
watchTerms();
drawTable();
drawTuning();
drawSearches();
drawSchedule();
fillCosts();
drawCosts();
fillFamilyCurves();
drawFamilyCurves();
follow();
keepUpToDate();
