"use strict";
// How every chart looks, where things are on the axis of training, and when charts are drawn.

const INK = "#1c1c1c", SOFT = "#5c5c5c", RULE = "#d9d9d9";
const FONT = { family: "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif", size: 12, color: INK };
const QUIET = { displayModeBar: false, responsive: false, staticPlot: true };
const HOVER = { displayModeBar: false, responsive: false };
const DASHES = ["solid", "5px,3px", "1.5px,3px"];

/** Axis lines as in print. */
function axisStyle(more = {}) {
  return {
    showline: true, linecolor: INK, linewidth: 0.7, showgrid: false, zeroline: false, ticks: "outside",
    ticklen: 4, tickwidth: 0.7, tickcolor: INK, fixedrange: true, automargin: false, ...more,
  };
}

function chartLayout(more) {
  return {
    font: FONT, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
    hovermode: false, dragmode: false, hoverlabel: { bgcolor: "#fff", bordercolor: RULE, font: FONT }, ...more,
  };
}

/** Draw when the node comes into view, and again after each change and each change of width. */
function lazily(node, draw) {
  let seen = false, width = 0;
  const again = () => {
    if (!seen) return;
    width = node.clientWidth;
    draw(node, width);
    if (node.firstChild) node.style.minHeight = "0";
  };
  const see = () => { if (!seen) { seen = true; again(); } };
  watchers.push(again);
  new IntersectionObserver((entries, observer) => {
    if (entries.some((entry) => entry.isIntersecting)) { observer.disconnect(); see(); }
  }, { rootMargin: "300px" }).observe(node);
  new ResizeObserver(() => { if (seen && node.clientWidth !== width) again(); }).observe(node);
  window.addEventListener("beforeprint", see);
}

/** The axis of training over these values: position of a value, range, ticks.
 *  Logarithmic with 0 on a stub at the left end; linear where the values span less than threefold. */
function trainingAxis(values, width) {
  const known = values.filter((v) => v !== null);
  const positive = known.filter((v) => v > 0);
  const low = Math.min(...positive), high = Math.max(...positive);
  if (!state.log || !positive.length || high < 3 * low) return linearAxis(known, width);
  const zero = known.some((v) => v <= 0);
  const span = Math.log10(high / low);
  const stub = Math.log10(low) - Math.max(0.07 * span, 0.12);
  const pad = 0.015 * span;
  const at = (v) => (v === null ? null : v > 0 ? Math.log10(v) : stub);
  const ticks = logTicks(low, high, Math.max(2, Math.floor(width / 75)));
  if (zero) ticks.unshift(0);
  return { logarithmic: true, at, range: [(zero ? stub : Math.log10(low)) - pad, Math.log10(high) + pad], ticks: ticks.map(at), labels: ticks.map(short) };
}

function logTicks(low, high, most) {
  const make = (steps, every) => {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      if (power % every) continue;
      for (const step of steps) {
        const value = step * 10 ** power;
        if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
      }
    }
    return found;
  };
  const choices = [[[1, 2, 5], 1], [[1, 3], 1], [[1], 1], [[1], 2], [[1], 3], [[1], 5]].map(([s, e]) => make(s, e));
  const fitting = choices.find((found) => found.length <= most) ?? choices.at(-1);
  return fitting.length >= 2 ? fitting : [low, high];
}

function linearAxis(known, width) {
  const low = known.length ? Math.min(...known) : 0, high = known.length ? Math.max(...known) : 1;
  const span = high - low || Math.max(Math.abs(high), 1);
  const pad = (high > low ? 0.015 : 0.5) * span;
  const ticks = niceTicks(low, high, Math.max(2, Math.floor(width / 85)));
  return { logarithmic: false, at: (v) => v, range: [low - pad, high + pad], ticks, labels: ticks.map(short) };
}

/** Round values from low to high, at most `most`. */
function niceTicks(low, high, most) {
  if (!(high > low)) return [low];
  const raw = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((s) => s * power).find((s) => s >= raw);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) ticks.push(Number((k * step).toPrecision(12)));
  return ticks;
}

/** Move heights (in pixels) apart until neighbours are `gap` from each other, within 0 to `end`. */
function apart(heights, gap, end) {
  const order = heights.map((_, i) => i).sort((a, b) => heights[a] - heights[b]);
  const placed = heights.slice();
  for (let round = 0; round < 60; round++) {
    for (let k = 1; k < order.length; k++) {
      const lack = gap - (placed[order[k]] - placed[order[k - 1]]);
      if (lack > 0) { placed[order[k]] += lack / 2; placed[order[k - 1]] -= lack / 2; }
    }
    for (const i of order) placed[i] = Math.min(Math.max(placed[i], 0), end);
  }
  return placed;
}

/** Closed outlines between two curves, broken where either is unknown. */
function outline(x, low, high) {
  const xs = [], ys = [];
  let start = null;
  for (let i = 0; i <= x.length; i++) {
    const known = i < x.length && x[i] !== null && low[i] !== null && high[i] !== null;
    if (known && start === null) start = i;
    if (known || start === null) continue;
    const part = Array.from({ length: i - start }, (_, k) => start + k);
    xs.push(...part.map((k) => x[k]), ...part.toReversed().map((k) => x[k]), null);
    ys.push(...part.map((k) => low[k]), ...part.toReversed().map((k) => high[k]), null);
    start = null;
  }
  return { x: xs, y: ys };
}

function shortened(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}\u2026` : text;
}
