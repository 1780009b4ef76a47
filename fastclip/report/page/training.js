"use strict";
// Panels stacked on one axis of training, with bands, confidence sets, context and a readout.

const DENSE = 40; // from so many points on, intervals are shaded and not drawn as bars

/** Draw panels, one under the other, into a node. */
function drawStack(node, panels, width, panelHeight) {
  const narrow = width < 620;
  const longest = Math.max(0, ...panels.flatMap((panel) => labelsOf(panel)).map((name) => name.length));
  const margin = { l: 46, r: Math.min(12 + 6.3 * longest, narrow ? 92 : 200), t: narrow ? 40 : 26, b: 44 };
  const gap = narrow ? 46 : 30;
  const height = margin.t + margin.b + panels.length * panelHeight + (panels.length - 1) * gap;
  const inner = height - margin.t - margin.b;
  const axis = trainingAxis(panels.flatMap((p) => p.lines.filter((l) => shown(l.group)).flatMap((l) => axisValues(report.places[l.places]))), width - margin.l - margin.r);
  const layout = chartLayout({ width, height, margin, shapes: [], annotations: [] });
  const traces = [];
  panels.forEach((panel, i) => {
    const top = 1 - (i * (panelHeight + gap)) / inner;
    const frame = { panel, axis, narrow, top, id: i ? String(i + 1) : "", domain: [Math.max(top - panelHeight / inner, 0), top], height: panelHeight, inner, width: width - margin.l - margin.r };
    drawPanel(frame, traces, layout);
  });
  layout.xaxis = axisStyle({
    range: axis.range, tickvals: axis.ticks, ticktext: axis.labels, anchor: "free", position: 0,
    title: { text: axisTitle(axis), standoff: 6 },
  });
  Plotly.react(node, traces, layout, QUIET);
  return { axis, margin, width };
}

function axisTitle({ logarithmic }) {
  return report.axes.find(({ key }) => key === state.axis).name + (logarithmic ? ", logarithmic" : "");
}

function drawPanel(frame, traces, layout) {
  const { panel, id, domain, axis } = frame;
  const lines = panel.lines.filter((line) => shown(line.group));
  const context = panel.context;
  const range = heightRange(panel, lines, context);
  layout[`yaxis${id}`] = axisStyle({ domain, range, tickvals: niceTicks(range[0], range[1], 4), tickformat: "~g" });
  layout.shapes.push({ type: "line", xref: "paper", yref: `y${id} domain`, x0: 0, x1: 1, y0: 0, y1: 0, line: { color: RULE, width: 0.7 } });
  for (const c of context) drawContext(c, id, range, layout);
  const sets = lines.filter((line) => line.best.length);
  sets.forEach((line, k) => drawSet(line, k, frame, layout));
  for (const line of lines.toSorted((a, b) => b.faint - a.faint)) traces.push(...lineTraces(line, id, axis));
  if (!traces.some((t) => t.yaxis === `y${id}`)) traces.push({ x: [null], y: [null], yaxis: `y${id}`, mode: "lines" });
  nameLines(frame, lines, context, range, layout);
  const title = `<b>${plain(panel.title)}</b>${frame.narrow ? "<br>" : "   "}<span style="color:${SOFT}">${plain(frame.narrow ? shortened(panel.subtitle, 52) : panel.subtitle)}</span>`;
  layout.annotations.push({ xref: "paper", yref: "paper", x: 0, y: domain[1], xanchor: "left", yanchor: "bottom", yshift: 5, align: "left", showarrow: false, text: title, font: { ...FONT, size: 13 } });
  const verdict = verdictWords(panel, lines);
  const fits = 7.5 * panel.title.length + 6.4 * (panel.subtitle.length + verdict.length) < frame.width;
  if (verdict && !frame.narrow && fits) {
    layout.annotations.push({ xref: "paper", yref: "paper", x: 1, y: domain[1], xanchor: "right", yanchor: "bottom", yshift: 5, showarrow: false, text: `<i>${verdict}</i>`, font: FONT });
  }
}

const VERDICTS = { peak: "rises, then falls", rise: "rises", fall: "falls", undecided: "change not distinguishable", too_few: "too few checkpoints to say" };
const INVERTED = { ...VERDICTS, peak: "falls, then rises", rise: "falls", fall: "rises" };

function verdictWords(panel, lines) {
  const tested = panel.key === "accuracy" ? [] : lines.filter((line) => line.verdict && !line.faint);
  if (tested.length !== 1) return "";
  if (!tested[0].usable.some(Boolean)) return "cannot be judged";
  return (panel.key === "texture" ? INVERTED : VERDICTS)[tested[0].verdict] ?? "";
}

/** From the lines and what they are compared with; far-away context does not flatten the lines. */
function heightRange(panel, lines, context) {
  const values = lines.flatMap((l) => [...l.value, ...l.low, ...l.high, ...l.band_low, ...l.band_high]).filter((v) => v !== null);
  let low = Math.min(...values), high = Math.max(...values);
  if (!values.length) [low, high] = [0, 1];
  if (panel.low !== null) low = Math.min(low, panel.low);
  if (panel.high !== null) high = Math.max(high, panel.high);
  const lineSpan = high - low || 0.1;
  for (const { value } of context) {
    if (value > high && value - high < 0.9 * lineSpan) high = value;
    if (value < low && low - value < 0.9 * lineSpan) low = value;
  }
  if (panel.floor !== null) [low, high] = [Math.max(low, panel.floor), Math.min(high, 1 - panel.floor)];
  else if (panel.low !== null) high = Math.min(high, 1);
  const pad = 0.05 * (high - low || 0.1);
  return [low - pad, high + pad];
}

function drawContext({ value, low, high }, id, range, layout) {
  if (low !== null && high !== null) {
    layout.shapes.push({ type: "rect", layer: "below", xref: "paper", yref: `y${id}`, x0: 0, x1: 1, y0: Math.max(low, range[0]), y1: Math.min(high, range[1]), fillcolor: "rgba(0,0,0,.06)", line: { width: 0 } });
  }
  if (value >= range[0] && value <= range[1]) {
    layout.shapes.push({ type: "line", layer: "below", xref: "paper", yref: `y${id}`, x0: 0, x1: 1, y0: value, y1: value, line: { color: "#8a8a8a", width: 1, dash: "2px,3px" } });
  }
}

/** The confidence set for the highest: bars on the panel's own axis, a notch at the estimate. */
function drawSet(line, k, { id, axis, height }, layout) {
  const x = axisValues(report.places[line.places]).map(axis.at);
  const thick = 5 / height;
  const y0 = 0.01 + k * (thick + 0.015);
  const colour = colourOf(line.group);
  const half = 0.004 * (axis.range[1] - axis.range[0]);
  const edge = (i, j) => (j < 0 || j >= x.length || x[j] === null ? x[i] + Math.sign(j - i) * half : (x[i] + x[j]) / 2);
  for (const part of stretches(line.best.filter((i) => x[i] !== null))) {
    const [first, last] = [part[0], part.at(-1)];
    layout.shapes.push({ type: "rect", xref: "x", yref: `y${id} domain`, x0: edge(first, first - 1), x1: edge(last, last + 1), y0, y1: y0 + thick, fillcolor: colour, line: { width: 0 }, opacity: 0.75 });
  }
  if (line.highest !== null && x[line.highest] !== null) {
    layout.annotations.push({ xref: "x", yref: `y${id} domain`, x: x[line.highest], y: y0 + thick, yanchor: "bottom", yshift: -6, showarrow: false, text: "\u25b2", font: { size: 10, color: colour } });
  }
}

/** Whole numbers in order, split where one is left out. */
function stretches(indices) {
  const parts = [];
  for (const i of indices) {
    if (parts.length && parts.at(-1).at(-1) === i - 1) parts.at(-1).push(i);
    else parts.push([i]);
  }
  return parts;
}

function lineTraces(line, id, axis) {
  const x = axisValues(report.places[line.places]).map(axis.at);
  const colour = line.faint && !several() ? "#8a8a8a" : colourOf(line.group);
  const common = { yaxis: `y${id}`, hoverinfo: "skip" };
  const shade = (low, high, alpha) => ({ ...common, ...outline(x, low, high), mode: "lines", line: { width: 0 }, fill: "toself", fillcolor: faded(colour, alpha) });
  const traces = [];
  const many = x.length > DENSE;
  if (!line.faint) {
    if (line.band_low.some((v) => v !== null)) traces.push(shade(line.band_low, line.band_high, several() ? 0.1 : 0.15));
    if (many && line.low.some((v) => v !== null)) traces.push(shade(line.low, line.high, 0.22));
  }
  const bars = !line.faint && !many && line.low.some((v) => v !== null);
  traces.push({
    ...common, x, y: line.value,
    mode: line.faint ? "lines" : "lines+markers",
    line: { color: colour, width: line.faint ? 1 : 1.8, dash: DASHES[line.style] },
    opacity: line.faint ? 0.75 : 1,
    marker: {
      size: line.usable.map((ok) => (ok ? (many ? 0.1 : 5) : many ? 4 : 6)),
      color: line.usable.map((ok) => (ok ? colour : "#fff")),
      line: { color: colour, width: line.usable.map((ok) => (ok ? 0 : 1.2)) }, opacity: 1,
    },
    error_y: bars ? {
      type: "data", symmetric: false, thickness: 0.9, width: 0, color: faded(colour, 0.7),
      array: line.value.map((v, i) => (line.high[i] === null || v === null ? 0 : line.high[i] - v)),
      arrayminus: line.value.map((v, i) => (line.low[i] === null || v === null ? 0 : v - line.low[i])),
    } : undefined,
  });
  return traces;
}

/** What stands right of a panel. */
function labelsOf({ lines, context }) {
  return [...lines.filter((l) => shown(l.group)).map((l) => l.label), ...context.map((c) => `${c.label} ${number(c.value, 2)} \u2191`)];
}

/** Names right of a panel, at the ends of its lines or as near as fits. */
function nameLines({ domain, height, inner, narrow }, lines, context, range, layout) {
  const names = new Map();
  for (const c of context) {
    const outside = c.value > range[1] ? " \u2191" : c.value < range[0] ? " \u2193" : "";
    names.set(narrow ? `${number(c.value, 2)}${outside} ${c.label}` : `${c.label} ${number(c.value, 2)}${outside}`, { y: c.value, colour: SOFT });
  }
  for (const line of lines) {
    const last = line.value.findLast((v) => v !== null);
    if (!line.label || names.has(line.label) || last === undefined) continue;
    names.set(line.label, { y: last, colour: line.faint ? SOFT : several() ? INK : colourOf(line.group) });
  }
  const pixels = (y) => ((range[1] - Math.min(Math.max(y, range[0]), range[1])) / (range[1] - range[0])) * height;
  const entries = [...names.entries()];
  const placed = apart(entries.map(([, { y }]) => pixels(y)), 13, height);
  entries.forEach(([name, { colour }], i) => layout.annotations.push({
    xref: "paper", yref: "paper", x: 1, y: domain[1] - placed[i] / inner, xanchor: "left", yanchor: "middle", xshift: 7,
    showarrow: false, align: "left", text: plain(shortened(name, narrow ? 14 : 30)), font: { ...FONT, size: narrow ? 11 : 12, color: colour },
  }));
}

const KEYS = [
  ['<rect y="1" width="22" height="10" fill="#0072b2" opacity=".15"/>', "95 % band of the whole curve", (l) => l.band_low.some((v) => v !== null)],
  ['<path d="M11 0V12" stroke="#0072b2"/><circle cx="11" cy="6" r="2.5" fill="#0072b2"/>', "95 % of one point", (l) => l.low.some((v) => v !== null)],
  ['<circle cx="11" cy="6" r="3.2" fill="#fff" stroke="#0072b2"/>', "at chance: left out of every statement", (l) => l.usable.includes(false)],
  ['<rect y="5" width="22" height="4" fill="#0072b2" opacity=".75"/><path d="M8 5h6l-3-5z" fill="#0072b2"/>', "on the axis: 95 % set for the checkpoint with the highest score (texture bias: highest shape bias)", (l) => l.best.length],
];

function drawKey() {
  const lines = report.panels.flatMap((panel) => panel.lines).filter((line) => !line.faint);
  const used = KEYS.filter(([, , test]) => lines.some(test));
  put("key", used.map(([picture, text]) => {
    const svg = el("span");
    svg.innerHTML = `<svg width="22" height="12" aria-hidden="true">${picture}</svg>`;
    svg.append(text);
    return svg;
  }), report.missing.length ? el("span", {}, `not measured: ${report.missing.join(", ").toLowerCase()}`) : null);
}
