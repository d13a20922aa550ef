// When what ran: a row per cell, search and training on held-out data apart.

const MOST_ROWS = 60;

function drawSchedule() {
  const place = byId("schedule-chart"), cells = Object.entries(data.schedule.cells);
  if (!cells.length) return place.append(element("p", {}, "Nothing says yet when trainings ran."));
  const shown = cells.slice(0, MOST_ROWS), end = Math.max(...cells.flatMap(([, spans]) => spans.map(span => span[2])), 1);
  const left = 250, wide = 900, row = 15, high = 30 + row * shown.length + 30;
  const unit = end > 7200 ? [3600, "hours"] : end > 120 ? [60, "minutes"] : [1, "seconds"];
  const x = seconds => left + (wide - left - 10) * seconds / end;
  const root = drawn("svg", {viewBox: `0 0 ${wide} ${high}`, role: "img",
    "aria-label": `When ${cells.length} cells were trained, over ${number(end / unit[0])} ${unit[1]}`});
  for (const tick of ticks(0, end / unit[0], false, 6)) {
    root.append(drawn("line", {x1: x(tick * unit[0]), x2: x(tick * unit[0]), y1: 14, y2: high - 26, class: "grid"}),
                drawn("text", {x: x(tick * unit[0]), y: high - 12, "text-anchor": "middle"}, number(tick)));
  }
  root.append(drawn("text", {x: (left + wide) / 2, y: high - 1, "text-anchor": "middle", class: "axis-label"}, unit[1]));
  for (const [index, [name, spans]] of shown.entries()) {
    const cell = data.cells[byName.get(name)], y = 18 + row * index, family = familyOf(cell?.model);
    const label = drawn("text", {x: left - 6, y: y + 9, "text-anchor": "end"}, cell ? labelOf(cell) : name);
    root.append(cell ? drawn("a", {href: `#cell-${encodeURIComponent(name)}`}, label) : label);
    for (const [search, from, to] of spans) {
      root.append(drawn("rect", {x: x(from).toFixed(1), y, width: Math.max(1, x(to) - x(from)).toFixed(1), height: row - 4,
                                 class: `span ${family}${search ? " search" : ""}`},
        drawn("title", {}, `${name}: ${search ? "search" : "held-out data"}, ${number(from / unit[0])} to ${number(to / unit[0])} ${unit[1]}`)));
    }
  }
  const more = cells.length > shown.length ? ` The first ${shown.length} of ${cells.length} cells are drawn.` : "";
  place.append(element("p", {class: "small"}, `On average ${number(data.schedule.busy)} processors trained or measured while any did. `
    + `Pale: search; full: training on held-out data. A pack's trainings are drawn as long as it took.${more}`),
    element("div", {class: "scroll"}, root));
}
