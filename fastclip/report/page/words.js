"use strict";
// Everything that is text: it stands before the library of charts is read.

const DASH = "\u2013";

document.getElementById("title").textContent = `${report.title} ${DASH} fastclip report`;
if (report.stamp) {
  document.getElementById("stamp").textContent = report.stamp;
  document.getElementById("stamp").hidden = false;
}
put("sentences", report.sentences.map(({ lead, text }) => el("li", {}, lead ? el("strong", {}, lead) : null, lead ? " " : "", text)));
if (report.sentences.length > 4) document.getElementById("sentences").className = "many";
put("checks", report.checks.map(([name, text]) => {
  const warning = text.startsWith("!");
  return el("div", { class: warning ? "warning" : null },
    el("dt", {}, name), el("dd", {}, warning ? `\u26a0 ${text.slice(1).trim()}` : text));
}));

function axisButtons() {
  const buttons = report.axes.map(({ key, name }) => el("button", {
    type: "button",
    "data-axis": key,
    "aria-pressed": String(state.axis === key),
    onclick: () => { state.axis = key; state.log = LOGARITHMIC[key]; changed(); focusOn(`[data-axis=${key}]`); },
  }, name));
  const log = el("button", {
    type: "button",
    id: "log",
    "aria-pressed": String(state.log),
    onclick: () => { state.log = !state.log; changed(); focusOn("#log"); },
  }, "logarithmic");
  put("axes", el("span", { class: "label" }, "over"), buttons, log);
}

function runButtons() {
  if (!several()) return;
  put("runs", el("span", { class: "label" }, "runs"), report.groups.map(({ name, colour }, group) => el("button", {
    type: "button",
    class: "run",
    "data-run": group,
    "aria-pressed": String(shown(group)),
    style: `--colour: ${colour}`,
    onclick: () => {
      if (shown(group)) state.hidden.add(group); else state.hidden.delete(group);
      changed();
      focusOn(`[data-run="${group}"]`);
    },
  }, el("i"), name)));
}

/** Buttons are made anew at each change; the one that was pressed keeps the focus. */
function focusOn(selector) {
  document.querySelector(selector).focus();
}

watch(axisButtons);
watch(runButtons);

function copyButton(text) {
  return el("button", {
    type: "button",
    "aria-label": `copy: ${text}`,
    onclick: async (event) => {
      const button = event.currentTarget;
      await copyText(text);
      button.textContent = "copied";
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    },
  }, "copy");
}

/** The clipboard is closed to pages from disk in some browsers; a selection never is. */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = el("textarea", { style: "position: fixed; opacity: 0" });
    document.body.append(area);
    area.value = text;
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

put("protocol",
  el("h2", {}, "Protocol"),
  report.commands.map((command) => el("div", { class: "command" }, el("code", {}, command), copyButton(command))),
  el("dl", {}, report.protocol.flatMap(([name, text]) => [el("dt", {}, name), el("dd", {}, text)])));

/** A table; cells are text or nodes, `numbers` the columns set right. */
function table(headings, rows, numbers = []) {
  const cell = (tag, content, column) => el(tag, { class: numbers.includes(column) ? "number" : null }, content ?? "");
  return el("div", { class: "scroll" }, el("table", {},
    el("thead", {}, el("tr", {}, headings.map((heading, i) => cell("th", heading, i)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((content, i) => cell("td", content, i)))))));
}

/** A section below the first screen; returns the node that its content goes to. */
function section(key, title, text, exploratory = false) {
  const body = el("div", {});
  document.getElementById("below").append(el("section", { class: "below", id: key, "aria-label": title },
    el("h2", {}, title, exploratory ? el("span", { class: "tag" }, exploratoryWords()) : null),
    text ? el("p", { class: "soft" }, text) : null, body));
  return body;
}

function exploratoryWords() {
  const count = report.comparisons;
  return count ? `exploratory: one of ${count} comparisons` : "exploratory";
}
