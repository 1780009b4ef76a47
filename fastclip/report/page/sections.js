"use strict";
// The charts below the first screen.

const EARLIER = "light marks are early in training, dark ones late";

/** A figure of its own in a grid; hidden while its runs are switched off. */
function figure(parent, caption, groups, label, draw) {
  const chart = el("div", { class: "chart", role: "img", "aria-label": label });
  const node = el("figure", {}, caption ? el("figcaption", {}, caption) : null, chart);
  parent.append(node);
  watch(() => { node.hidden = !groups.some(shown); });
  lazily(chart, (target, width) => { if (width && groups.some(shown)) draw(target, width); });
}

function grid(parent) {
  const node = el("div", { class: "grid" });
  parent.append(node);
  return node;
}

function captionOf(group, dataset) {
  return [several() ? report.groups[group].name : "", dataset].filter(Boolean).join(", ");
}

/** At most `most` evenly spread indices of `count`, both ends included. */
function spread(count, most) {
  if (count <= most) return Array.from({ length: count }, (_, i) => i);
  return Array.from({ length: most }, (_, i) => Math.round((i * (count - 1)) / (most - 1)));
}

const WORDS = { peak: "rises, then falls", rise: "rises", fall: "falls", undecided: "not distinguishable", too_few: "" };

function drawHeat(map, node, width) {
  const places = report.places[map.places];
  const narrow = width < 560;
  const margin = { l: narrow ? 120 : 205, r: narrow ? 8 : 175, t: 6, b: 58 };
  const columns = places.checkpoints.length;
  const ticks = spread(columns, Math.max(2, Math.floor((width - margin.l - margin.r) / 80)));
  const names = map.types.map((type) => type.replaceAll("_", " "));
  const height = margin.t + margin.b + 19 * names.length;
  const trace = {
    type: "heatmap", z: map.values, x: places.checkpoints.map((_, i) => i), y: names.map((_, i) => i), zmid: 0, zmin: -1, zmax: 1,
    colorscale: [[0, "#d55e00"], [0.5, "#ffffff"], [0.75, "#7db4d8"], [1, "#00395a"]], ygap: 1,
    colorbar: { orientation: "h", thickness: 8, len: 0.5, y: 0, yanchor: "top", ypad: 40, outlinewidth: 0, tickvals: [-1, -0.5, 0, 0.5, 1], tickfont: { size: 11 } },
    text: map.types.map((type) => places.checkpoints.map((_, i) => plain(`${type}, ${placeName(places, i)}`))), hovertemplate: "%{text}<br>SRCC %{z:.3f}<extra></extra>",
  };
  const found = narrow ? [] : map.types.map((type, i) => ({ i, finding: map.verdicts[type] })).filter(({ finding }) => finding && WORDS[finding.kind]);
  const layout = chartLayout({
    width, height, margin, hovermode: "closest",
    xaxis: axisStyle({ tickvals: ticks, ticktext: ticks.map((i) => plain(tickName(places, i))), range: [-0.5, columns - 0.5] }),
    yaxis: axisStyle({ tickvals: names.map((_, i) => i), ticktext: names.map((n) => plain(shortened(n, narrow ? 17 : 30))), range: [names.length - 0.5, -0.5], showline: false, ticklen: 0 }),
    annotations: found.map(({ i, finding }) => ({
      xref: "paper", x: 1, y: i, xanchor: "left", xshift: 6, showarrow: false, font: { ...FONT, size: 11, color: finding.q < 0.05 ? INK : SOFT },
      text: finding.q < 0.05 ? `${WORDS[finding.kind]}, q ${finding.q < 0.001 ? "< .001" : number(finding.q)}` : `not distinguishable, q ${number(finding.q, 2)}`,
    })),
  });
  Plotly.react(node, [trace], layout, HOVER);
}

function tickName(places, index) {
  const value = state.axis === "order" ? null : places[state.axis][index];
  return value === null ? shortened(places.checkpoints[index].split("/").at(-1), 10) : short(value);
}

function drawCategories(part, node, width) {
  const places = report.places[part.places];
  const narrow = width < 420;
  const margin = { l: narrow ? 92 : 120, r: 14, t: 20, b: 46 };
  const height = margin.t + margin.b + 24 * part.categories.length;
  const colour = colourOf(part.group);
  const shade = (k) => faded(colour, 0.22 + (0.78 * (k + 1)) / places.checkpoints.length);
  const rows = part.categories.map((_, i) => i);
  const traces = places.checkpoints.map((_, k) => ({
    x: part.values.map((line) => line[k]), y: rows, mode: "markers", hovertemplate: `%{text}, ${plain(placeName(places, k))}: %{x:.3f}<extra></extra>`,
    text: part.categories.map(plain),
    marker: { size: 9, color: part.usable.map((line) => (line[k] ? shade(k) : "#fff")), line: { color: shade(k), width: 1.2 }, opacity: 1 },
  }));
  const shapes = [0, places.checkpoints.length - 1].filter((k) => part.whole[k] !== null).map((k) => ({
    type: "line", yref: "paper", x0: part.whole[k], x1: part.whole[k], y0: 0, y1: 1, line: { color: shade(k), width: 1.5, dash: k ? "solid" : "4px,3px" },
  }));
  shapes.push({ type: "line", yref: "paper", x0: 0.5, x1: 0.5, y0: 0, y1: 1, layer: "below", line: { color: RULE, width: 1 } });
  if (part.human) shapes.push({ type: "rect", yref: "paper", x0: part.human.low, x1: part.human.high, y0: 0, y1: 1, layer: "below", fillcolor: "rgba(0,0,0,.1)", line: { width: 0 } });
  const ends = [[0, "left", "texture"], [1, "right", part.human ? "humans" : "shape"]];
  Plotly.react(node, traces, chartLayout({
    width, height, margin, shapes, hovermode: "closest",
    xaxis: axisStyle({ range: [-0.03, 1.03], tickvals: [0, 0.25, 0.5, 0.75, 1], title: { text: "share of shape decisions" } }),
    yaxis: axisStyle({ range: [part.categories.length - 0.4, -0.6], tickvals: rows, ticktext: part.categories.map((c) => plain(shortened(c, 16))), showline: false, ticklen: 0, showgrid: true, gridcolor: "#eee" }),
    annotations: ends.map(([x, xanchor, text]) => ({ xref: "x", yref: "paper", x, y: 1, xanchor, yanchor: "bottom", showarrow: false, text, font: { ...FONT, color: SOFT } })),
  }), HOVER);
}

const logit = (p) => { const q = Math.min(Math.max(p, 0.001), 0.999); return Math.log(q / (1 - q)); };
const SHARES = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999];

/** Two quantities against each other, a line through the checkpoints from the first to the last. */
function drawAgainst(lines, { xTitle, yTitle, onLogit = false }, node, width) {
  const seen = lines.filter((line) => shown(line.group));
  const most = width < 500 ? 40 : 80;
  const at = onLogit ? logit : (v) => v;
  const scale = (values) => {
    const known = values.filter((v) => v !== null).map(at);
    const low = Math.min(...known), high = Math.max(...known), pad = 0.08 * (high - low || 0.1);
    const range = [low - pad, high + pad];
    const ticks = onLogit ? SHARES.filter((p) => logit(p) >= range[0] && logit(p) <= range[1]) : niceTicks(range[0], range[1], 5);
    return { range, tickvals: ticks.map(at), ticktext: ticks.map(String) };
  };
  const x = scale(seen.flatMap((l) => l.x)), y = scale(seen.flatMap((l) => l.y));
  const traces = [], annotations = [];
  for (const line of seen) {
    const colour = colourOf(line.group), places = report.places[line.places];
    const count = line.x.length, big = count > 60 ? 4 : 7;
    const xs = line.x.map(at), ys = line.y.map(at);
    traces.push({
      x: xs, y: ys, mode: "lines+markers", line: { color: colour, width: 1.2, dash: DASHES[line.style ?? 0] },
      text: line.x.map((v, i) => plain(`${captionOf(line.group, line.label)}${several() || line.label ? ", " : ""}${placeName(places, i)}: ${number(v)}, ${number(line.y[i])}`)), hovertemplate: "%{text}<extra></extra>",
      marker: { size: big, opacity: 1, color: line.usable.map((ok, i) => (ok ? faded(colour, 0.25 + (0.75 * (i + 1)) / count) : "#fff")), line: { color: colour, width: 0.8 } },
    });
    for (const i of new Set([0, count - 1])) {
      const text = i || count === 1 ? [placeName(places, i), line.label].filter(Boolean).join(", ") : placeName(places, i);
      annotations.push({ x: xs[i], y: ys[i], showarrow: false, text: plain(shortened(text, 34)), yshift: i ? 12 : -12, xanchor: xs[i] > (x.range[0] + x.range[1]) / 2 ? "right" : "left", bgcolor: "rgba(255,255,255,.75)", font: { ...FONT, size: 11, color: several() ? colour : SOFT } });
    }
  }
  const shapes = onLogit ? [{ type: "line", x0: -9, y0: -9, x1: 9, y1: 9, layer: "below", line: { color: RULE, width: 1 } }] : [];
  Plotly.react(node, traces, chartLayout({
    width, height: Math.min(Math.max(width * 0.7, 300), 460), margin: { l: 56, r: 14, t: 8, b: 46 }, hovermode: "closest", shapes, annotations,
    xaxis: axisStyle({ ...x, title: { text: plain(shortened(xTitle, most)) } }), yaxis: axisStyle({ ...y, title: { text: plain(shortened(yTitle, most)) } }),
  }), HOVER);
}

function drawMean(mean, node, width) {
  const onSamples = mean.axis === "samples_seen";
  const axis = onSamples ? trainingAxis(mean.x, width - 70) : linearAxis(mean.x, width - 70);
  const x = mean.x.map(axis.at);
  const band = { ...outline(x, mean.low, mean.high), mode: "lines", line: { width: 0 }, fill: "toself", fillcolor: faded("#000000", 0.12), hoverinfo: "skip" };
  Plotly.react(node, [band, { x, y: mean.mean, mode: "lines+markers", line: { color: INK, width: 1.8 }, marker: { size: 5 } }], chartLayout({
    width, height: 270, margin: { l: 56, r: 14, t: 8, b: 46 },
    xaxis: axisStyle({ range: axis.range, tickvals: axis.ticks, ticktext: axis.labels, title: { text: onSamples ? "samples seen" : "clean accuracy" } }), yaxis: axisStyle({}),
  }), QUIET);
}

/** Entries by a key, in order. */
function grouped(entries, keyOf) {
  const found = new Map();
  for (const entry of entries) found.set(keyOf(entry), [...(found.get(keyOf(entry)) ?? []), entry]);
  return found;
}

function startSections() {
  if (report.heat.length) {
    const body = section("distortions", "Alignment by distortion", "SRCC of the same distance within each distortion type; blue is aligned with people, orange against them. q is Benjamini\u2013Hochberg over types.", true);
    for (const map of report.heat) figure(body, captionOf(map.group, map.dataset), [map.group], "SRCC by distortion type and checkpoint", (n, w) => drawHeat(map, n, w));
  }
  if (report.categories.length) {
    const body = grid(section("categories", "Shape bias by category", `Each mark is a checkpoint: ${EARLIER}, hollow ones are at chance. The vertical lines are the first (dashed) and last checkpoint over all categories; the grey band is the range of human observers over all categories.`, true));
    for (const part of report.categories) figure(body, captionOf(part.group, part.dataset), [part.group], "shape bias by category", (n, w) => drawCategories(part, n, w));
  }
  if (report.trajectories.length) {
    const body = grid(section("noisy-clean", "Noisy against clean accuracy", `On logit axes; on the grey line nothing is lost. ${EARLIER[0].toUpperCase()}${EARLIER.slice(1)}.`));
    for (const [dataset, lines] of grouped(report.trajectories, (l) => l.dataset)) {
      const labels = [...new Set(lines.map((l) => l.label))];
      const styled = lines.map((l) => ({ ...l, style: labels.indexOf(l.label) % 3 }));
      figure(body, dataset, lines.map((l) => l.group), "noisy against clean accuracy", (n, w) => drawAgainst(styled, { xTitle: "clean accuracy", yTitle: "noisy accuracy", onLogit: true }, n, w));
    }
  }
  if (report.tradeoffs.length) {
    const body = grid(section("trade-off", "Trade-off", `What image-quality alignment is paid with: ${EARLIER}, hollow ones are at chance. A path, not a test: nothing here says that one causes the other.`));
    for (const lines of grouped(report.tradeoffs, (l) => `${l.x_title}\n${l.y_title}`).values()) {
      figure(body, null, lines.map((l) => l.group), `${lines[0].y_title} against ${lines[0].x_title}`, (n, w) => drawAgainst(lines.map((l) => ({ ...l, label: "" })), { xTitle: lines[0].x_title, yTitle: lines[0].y_title }, n, w));
    }
  }
  if (report.means.length) {
    const body = grid(section("runs-mean", "Mean over runs", "Mean over runs with its 95 % t-interval from three runs on, at the same samples seen and at the same clean accuracy."));
    for (const mean of report.means) figure(body, `${endpointTitle(mean.endpoint)}, ${mean.dataset}: ${mean.runs.length} runs`, report.groups.map((_, i) => i), "mean over runs", (n, w) => drawMean(mean, n, w));
  }
  startLinks();
  if (report.diagnostics.length) {
    const body = section("diagnostics", "Embedding diagnostics", "The shape of the embedding space over training.", true);
    figure(body, null, report.groups.map((_, i) => i), "embedding diagnostics over training", (n, w) => drawStack(n, report.diagnostics, w, 90));
  }
}

startSections();
