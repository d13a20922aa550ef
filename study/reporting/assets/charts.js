"use strict";
// Elements and small charts. Every text goes in through textContent or an attribute, never as markup.

function element(name, attributes = {}, ...children) {
  const node = ["svg", "g", "path", "line", "circle", "rect", "text", "title", "a"].includes(name) && attributes.svg
    ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key !== "svg" && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.filter(child => child !== null && child !== undefined));
  return node;
}

const drawn = (name, attributes = {}, ...children) => element(name, {...attributes, svg: true}, ...children);

/** Three significant digits, or whole thousands with commas. */
function number(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const text = size >= 1000 ? Math.round(value).toLocaleString("en") : size !== 0 && size < 1e-4
    ? value.toExponential(2) : String(Number(value.toPrecision(3)));
  return text.replace("-", "−");
}

/** About `count` round numbers between two values; powers of ten (and 2, 5 where those are few) on a log scale. */
function ticks(low, high, log, count = 4) {
  if (log) {
    const powers = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++) {
      for (const digit of Math.log10(high / low) < 2 ? [1, 2, 5] : [1]) powers.push(digit * 10 ** e);
    }
    const inside = powers.filter(value => value >= low * 0.999 && value <= high * 1.001);
    const step = Math.ceil(inside.length / 6);
    return inside.filter((_, index) => index % step === 0);
  }
  const rough = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find(digit => digit * power >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-6; value += step) {
    found.push(Number(value.toPrecision(6)));
  }
  return found;
}

/** Where values land on an axis: log when all are positive and span more than a factor of 20, unless told otherwise. */
function axis(values, from, to, options = {}) {
  const known = values.filter(Number.isFinite);
  let low = Math.min(...known), high = Math.max(...known);
  const log = options.log !== false && low > 0 && high / low > 20;
  if (low === high) [low, high] = [low - Math.abs(low || 1) / 2, high + Math.abs(high || 1) / 2];
  const scaled = value => log ? Math.log(value) : value;
  if (options.pad && log) [low, high] = [low / (high / low) ** options.pad, high * (high / low) ** options.pad];
  else if (options.pad) [low, high] = [low - options.pad * (high - low), high + options.pad * (high - low)];
  const place = value => from + (to - from) * (scaled(value) - scaled(low)) / (scaled(high) - scaled(low));
  return {place, log, ticks: ticks(low, high, log)};
}

const WIDTH = 420, HEIGHT = 250, LEFT = 58, RIGHT = 12, TOP = 30, BOTTOM = 42;

/**
 * A chart. lines: {name, family, x, y, each, dash}, `each` further lines over the same x, faint below it; points: {x, y, family,
 * hollow, label, href}.
 * Colours come from the class family-N, so that they follow the page's light and dark.
 */
function chart({title, xLabel, yLabel, yLog, lines = [], points = [], wholeX = false}) {
  const across = axis([...lines.flatMap(line => line.x), ...points.map(point => point.x)], LEFT, WIDTH - RIGHT,
                      {log: wholeX ? false : undefined, pad: lines.length ? 0 : 0.04});
  const up = axis([...lines.flatMap(line => [...line.y, ...(line.each || []).flat().filter(Number.isFinite)]),
                   ...points.map(point => point.y)], HEIGHT - BOTTOM, TOP, {pad: 0.04, log: yLog});
  const role = points.some(point => point.href) ? "group" : "img", middle = (TOP + HEIGHT - BOTTOM) / 2;
  const root = drawn("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role,
                             "aria-label": `${title}: ${yLabel} against ${xLabel}. ${spoken(lines, points)}`});
  root.append(drawn("text", {x: LEFT, y: 16, class: "chart-title"}, title), ...grid(across, up, wholeX),
              drawn("text", {x: (LEFT + WIDTH) / 2, y: HEIGHT - 6, class: "axis-label", "text-anchor": "middle"},
                    xLabel + (across.log ? " (log)" : "")),
              drawn("text", {x: 12, y: middle, class: "axis-label", "text-anchor": "middle",
                             transform: `rotate(-90 12 ${middle})`}, yLabel + (up.log ? " (log)" : "")));
  for (const line of lines) root.append(...curve(line, across, up));
  for (const point of points) root.append(mark(point, across, up));
  return root;
}

function spoken(lines, points) {
  const ends = lines.map(line => `${line.name}: ${number(line.y[0])} to ${number(line.y[line.y.length - 1])}`);
  return ends.join("; ") + (points.length ? ` ${points.length} points` : "");
}

function grid(across, up, wholeX) {
  const marks = [];
  for (const value of across.ticks.filter(value => !wholeX || Number.isInteger(value))) {
    const x = across.place(value);
    marks.push(drawn("line", {x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM, class: "grid"}),
               drawn("text", {x, y: HEIGHT - BOTTOM + 15, "text-anchor": "middle"}, number(value)));
  }
  for (const value of up.ticks) {
    const y = up.place(value);
    marks.push(drawn("line", {x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y, class: "grid"}),
               drawn("text", {x: LEFT - 6, y: y + 4, "text-anchor": "end"}, number(value)));
  }
  return marks;
}

function curve(line, across, up) {
  const spot = (x, y) => `${across.place(x).toFixed(1)} ${up.place(y).toFixed(1)}`;
  const path = ys => ys.map((y, index) => !Number.isFinite(y) ? ""   // a gap where there is no value
    : (Number.isFinite(ys[index - 1]) ? "L" : "M") + spot(line.x[index], y)).join("");
  const parts = (line.each || []).map(ys => drawn("path", {d: path(ys), class: `line faint ${line.family}`,
                                                           "stroke-dasharray": line.dash || null}));
  parts.push(drawn("path", {d: path(line.y), class: `line ${line.family}`, "stroke-dasharray": line.dash || null}));
  if (line.x.length === 1) {
    parts.push(mark({x: line.x[0], y: line.y[0], family: line.family, label: line.name}, across, up));
  }
  return parts;
}

function mark(point, across, up) {
  const circle = drawn("circle", {cx: across.place(point.x).toFixed(1), cy: up.place(point.y).toFixed(1), r: 4.5,
                                  class: `mark ${point.family}${point.hollow ? " hollow" : ""}`},
                       drawn("title", {}, point.label || ""));
  return point.href ? drawn("a", {href: point.href, "aria-label": point.label}, circle) : circle;
}

/** Coloured names of the families, for below a chart. */
function legend(entries) {
  return element("p", {class: "legend"}, ...entries.map(([family, name, extra]) =>
    element("span", {}, element("i", {class: `key ${family} ${extra || ""}`, "aria-hidden": "true"}), name)));
}
