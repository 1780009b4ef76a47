"use strict";
// Exploratory curves in words, timings, notes and settings.

function startExplored() {
  if (!report.explored.length) return;
  const body = section("exploratory", "Other curves", null, true);
  body.append(el("details", {}, el("summary", {}, `${report.explored.length} curves, in words`),
    table(["curve", ...(several() ? ["run"] : []), "finding"], report.explored.map((c) => [`${c.title}, ${c.dataset}`, ...(several() ? [c.run] : []), c.sentence]))));
}

function seconds(value) {
  return value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(3);
}

function startTimings() {
  if (!report.timings.length) return;
  const body = section("timings", "Time", "Stages overlap: their sum is more than what the sweep took.");
  body.append(table(["", "", "measured", "median, s", "sum, s"], report.timings.map((t) => [t.kind, t.name, t.n, seconds(t.median), seconds(t.sum)]), [2, 3, 4]));
}

/** A setting in words, whatever it is made of. */
function wordsOf(value) {
  if (Array.isArray(value)) return value.map(wordsOf).join(", ");
  if (value === null || typeof value !== "object") return String(value ?? "all");
  return Object.entries(value).map(([name, item]) => `${name.replaceAll("_", " ")} ${typeof item === "object" && item !== null ? `(${wordsOf(item)})` : wordsOf(item)}`).join(", ");
}

function startNotes() {
  const settings = Object.entries(report.settings).map(([name, value]) => `${name.replaceAll("_", " ")}: ${wordsOf(value)}`);
  const contexts = report.panels.flatMap((p) => p.context.filter((c) => c.source).map((c) => `${c.label}: ${c.source}`));
  const items = [...report.notes, ...new Set(contexts), ...settings];
  if (items.length) section("notes", "Notes and settings", null).append(el("ul", {}, items.map((item) => el("li", {}, item))));
  put("footer", `fastclip ${report.version}. Everything here is computed from the records beside this page; results.csv has every number.`);
}

startExplored();
startTimings();
startNotes();
