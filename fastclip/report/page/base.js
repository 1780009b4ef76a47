"use strict";
// The data, the state of the switches, and what every script needs.

const report = JSON.parse(document.getElementById("data").textContent);

/** Training is looked at by its orders of magnitude, but in epochs and checkpoints one by one. */
const LOGARITHMIC = { samples_seen: true, step: true, epoch: false, order: false };

const state = { axis: report.axes[0].key, log: LOGARITHMIC[report.axes[0].key], hidden: new Set(), at: null };
const watchers = [];

/** Call `draw` now and after each change of a switch. */
function watch(draw) {
  watchers.push(draw);
  draw();
}

function changed() {
  for (const draw of watchers) draw();
}

/** An element with attributes and children; text is never read as HTML. */
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") node.style.cssText = value;
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

function put(id, ...children) {
  document.getElementById(id).replaceChildren(...children.flat().filter((child) => child !== null));
}

/** Text for the charts' library, which reads some HTML in it. */
function plain(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

/** A number as in a paper: three decimals, fewer where it is large. */
function number(value, digits = 3) {
  if (value === null || value === undefined) return "NA";
  if (value !== 0 && Math.abs(value) < 0.0005) return value.toExponential(1).replace("-", "\u2212");
  const text = Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(Math.abs(value) >= 10 ? 1 : digits);
  return text.replace("-", "\u2212");
}

/** 12800 as 12.8k. */
function short(value) {
  for (const [limit, unit] of [[1e9, "B"], [1e6, "M"], [1e3, "k"]]) {
    if (value >= limit) return `${Number((value / limit).toPrecision(3))}${unit}`;
  }
  return String(Number(value.toPrecision(3)));
}

const AXIS_UNITS = { samples_seen: "samples", step: "step", epoch: "epoch" };

/** Where in training a checkpoint is, on every axis that is known. */
function whereabouts(places, index) {
  const words = [];
  if (places.step[index] !== null) words.push(`step ${places.step[index].toLocaleString("en")}`);
  if (places.epoch[index] !== null) words.push(`epoch ${places.epoch[index]}`);
  if (places.samples_seen[index] !== null) words.push(`${short(places.samples_seen[index])} samples`);
  return words.join(", ");
}

/** Where it is on the axis chosen, or its name. */
function placeName(places, index, axis = state.axis) {
  const value = axis === "order" ? null : places[axis][index];
  if (value === null) return places.checkpoints[index];
  return axis === "samples_seen" ? `${short(value)} samples` : `${AXIS_UNITS[axis]} ${value.toLocaleString("en")}`;
}

/** Values of the axis chosen; those of a line without any are left out of the chart. */
function axisValues(places) {
  return state.axis === "order" ? places.checkpoints.map((_, index) => index + 1) : places[state.axis];
}

function shown(group) {
  return !state.hidden.has(group);
}

function several() {
  return report.groups.length > 1;
}

function colourOf(group) {
  return report.groups[group].colour;
}

function faded(colour, alpha) {
  const parts = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return `rgba(${parts.join(",")},${alpha})`;
}
