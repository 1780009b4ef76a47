"use strict";
// Conflict pictures that change their cue in training, and the pairs most misjudged.

const CUES = { s: "shape", t: "texture", o: "neither" };

function thumbnail(source, name) {
  return source ? el("img", { src: source, alt: name, loading: "lazy" }) : el("div", { class: "none" }, "no file");
}

/** A cell per checkpoint in the colour of its decision, at most 60. */
function strip(decisions) {
  const cells = spread(decisions.length, 60).map((i) => el("i", { class: decisions[i] }));
  return el("div", { class: "strip", role: "img", "aria-label": `decisions over training: ${[...new Set(decisions)].map((d) => CUES[d]).join(", ")}` }, cells);
}

function flipFigure({ name, decisions, picture }) {
  return el("figure", {}, thumbnail(picture, name), strip(decisions), name);
}

function missingWords(missing) {
  return missing ? el("p", { class: "soft" }, `The pictures are not shown: ${missing}.`) : null;
}

function startFlips() {
  const parts = report.flips.filter((part) => part.to_shape.length || part.to_texture.length);
  if (!parts.length) return;
  const body = section("flips", "Pictures that change their cue", "Conflict pictures whose decision goes over from one cue to the other and stays; checkpoints above chance only. The strip is training from left to right: blue shape, orange texture, grey neither.", true);
  for (const part of parts) {
    const count = (pair) => part.turned[pair] ?? 0;
    const node = el("div", {},
      el("figcaption", {}, `${captionOf(part.group, part.dataset)}: from first to last of ${part.checkpoints.length} checkpoints, ${count("ts")} of ${part.pictures} pictures went from texture to shape and ${count("st")} from shape to texture.`),
      missingWords(part.missing));
    for (const [title, found] of [["From texture to shape", part.to_shape], ["From shape to texture", part.to_texture]]) {
      if (found.length) node.append(el("h3", { style: "margin-top: 12px" }, title), el("div", { class: "pictures" }, found.map(flipFigure)));
    }
    body.append(node);
    watch(() => { node.hidden = !shown(part.group); });
  }
}

function pairFigure({ names, pictures, type, level, score, people, model }) {
  const percent = (share) => `${Math.round(100 * share)} %`;
  const kind = [type.replaceAll("_", " "), level >= 0 ? `level ${level}` : ""].filter(Boolean).join(", ");
  return el("figure", {},
    el("div", { class: "pair" }, names.map((name, i) => thumbnail(pictures[i], name))),
    el("div", {}, kind), el("div", { class: "soft" }, `worse than ${percent(people)} of pairs by people (score ${number(score, 2)}), ${percent(model)} by the model`),
    el("div", { class: "soft" }, names[1]));
}

function startMisjudged() {
  const parts = report.misjudged.filter((part) => part.too_far.length || part.too_near.length);
  if (!parts.length) return;
  const body = section("misjudged", "Image-quality pairs most misjudged", "Where the model's distance and people's scores rank a pair most differently, at the last checkpoint: reference left, distorted right.", true);
  for (const part of parts) {
    const node = el("div", {}, el("figcaption", {}, `${captionOf(part.group, part.dataset)}, ${part.checkpoint}, ${part.pairs} pairs`), missingWords(part.missing));
    for (const [title, found] of [["The model sees more damage than people", part.too_far], ["The model sees less damage than people", part.too_near]]) {
      if (found.length) node.append(el("h3", { style: "margin-top: 12px" }, title), el("div", { class: "pictures pairs" }, found.map(pairFigure)));
    }
    body.append(node);
    watch(() => { node.hidden = !shown(part.group); });
  }
}

startFlips();
startMisjudged();
