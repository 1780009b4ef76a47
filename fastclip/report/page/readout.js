"use strict";
// The first screen's figure and its readout: values under the pointer, or by arrow keys.

let view = null;

function drawTraining(node, width) {
  // All panels on the first screen, where there is room for them.
  const room = window.innerHeight - (node.getBoundingClientRect().top + window.scrollY) - 105;
  const panelHeight = width < 620 ? 120 : Math.min(Math.max(room / report.panels.length - 30, 96), 190);
  view = drawStack(node, report.panels, width, panelHeight);
  node.append(cursor);
  moveTo(state.at);
  performance.mark("curves");
}

const cursor = el("div", { class: "cursor", hidden: true });

/** Every position on the axis that some visible line has, in order. */
function stops() {
  const values = report.panels.flatMap((p) => p.lines).filter((l) => shown(l.group)).flatMap((l) => axisValues(report.places[l.places]));
  return [...new Set(values.filter((v) => v !== null))].sort((a, b) => a - b);
}

/** Show the values at this position of the axis; the last where it is null. */
function moveTo(value) {
  state.at = value;
  const all = stops();
  const at = value ?? all.at(-1);
  cursor.hidden = value === null;
  if (value !== null) {
    const [low, high] = view.axis.range;
    const share = (view.axis.at(value) - low) / (high - low);
    cursor.style.left = `${view.margin.l + share * (view.width - view.margin.l - view.margin.r)}px`;
  }
  readOut(at);
}

function readOut(at) {
  const rows = [];
  let where = null;
  for (const panel of report.panels) {
    const found = panel.lines.filter((line) => shown(line.group)).map((line) => {
      const places = report.places[line.places];
      const index = axisValues(places).indexOf(at);
      if (index >= 0 && where === null) where = [places, index];
      return [line, index];
    }).filter(([, index]) => index >= 0);
    if (!found.length) continue;
    rows.push(el("tr", { class: "head" }, el("th", { colspan: 3 }, panel.title)));
    rows.push(...found.map(([line, index]) => readoutRow(line, index)));
  }
  put("readout",
    el("h2", {}, where ? `At ${placeName(...where)}` : "Nothing here"),
    where ? el("p", { class: "where soft" }, [several() ? "" : where[0].checkpoints[where[1]], whereabouts(...where)].filter(Boolean).join("; ")) : null,
    el("div", { class: "table", tabindex: rows.length > 12 ? 0 : null }, el("table", {}, el("tbody", {}, rows))),
    el("p", { class: "soft", style: "font-size: 12px; margin-top: 4px" }, "Point at the curves, or focus them and use \u2190 and \u2192."));
}

function readoutRow(line, index) {
  const name = [several() ? report.groups[line.group].name : "", line.label].filter(Boolean).join(", ");
  const interval = line.low[index] === null || line.high[index] === null ? "" : `[${number(line.low[index])}, ${number(line.high[index])}]`;
  const reason = line.usable[index] ? "" : ` ${(line.why[index] || "left out").replaceAll("_", " ")}`;
  const swatch = several() ? el("i", { class: "swatch", style: `--colour: ${colourOf(line.group)}` }) : null;
  return el("tr", {},
    el("td", { class: "soft" }, swatch, name || "estimate", reason ? el("em", {}, reason) : null),
    el("td", { class: "number" }, number(line.value[index])),
    el("td", { class: "number soft" }, interval));
}

function nearest(clientX, node) {
  const [low, high] = view.axis.range;
  const share = (clientX - node.getBoundingClientRect().left - view.margin.l) / (view.width - view.margin.l - view.margin.r);
  const x = low + share * (high - low);
  return stops().reduce((best, v) => (best === null || Math.abs(view.axis.at(v) - x) < Math.abs(view.axis.at(best) - x) ? v : best), null);
}

function startTraining() {
  const node = document.getElementById("curves");
  if (!report.panels.length) {
    node.textContent = "No task has a curve to draw.";
    return;
  }
  node.tabIndex = 0;
  node.setAttribute("role", "img");
  node.setAttribute("aria-label", `${report.panels.map((p) => p.title).join(", ")} over training. ${report.sentences.map(({ text }) => text).join(" ")}`);
  node.addEventListener("pointermove", (event) => moveTo(nearest(event.clientX, node)));
  node.addEventListener("pointerleave", () => moveTo(null));
  node.addEventListener("keydown", (event) => {
    const all = stops();
    const now = state.at === null ? all.length - 1 : all.indexOf(state.at);
    const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: all.length - 1 }[event.key];
    if (event.key === "Escape") moveTo(null);
    if (next === undefined) return;
    event.preventDefault();
    moveTo(all[Math.min(Math.max(next, 0), all.length - 1)]);
  });
  drawKey();
  watchers.push(() => { state.at = stops().includes(state.at) ? state.at : null; });
  lazily(node, drawTraining);
}

startTraining();
