"use strict";
// Links between curves: what is described and what is tested, apart.

function endpointTitle(key) {
  return report.endpoints[key] ?? key;
}

function probability(p) {
  if (p === null) return "NA";
  return p < 0.001 ? "< .001" : number(p);
}

function startLinks() {
  const { links } = report;
  if (!links.length) return;
  const body = section("links", "Links between curves", null);
  const names = (link) => [`${endpointTitle(link.first)} and ${endpointTitle(link.second)}`, ...(several() ? [link.run] : [])];
  const heads = ["curves", ...(several() ? ["run"] : [])];
  const numbers = (count) => Array.from({ length: count }, (_, i) => heads.length + i);
  body.append(
    el("h3", {}, "Described: correlation over checkpoints"),
    el("p", { class: "soft" }, "Two curves that both rise with training correlate whatever drives them: no p-value belongs here."),
    table([...heads, "checkpoints", "values", "increments per doubling"],
      links.map((l) => [...names(l), l.checkpoints, number(l.level, 2), number(l.increments, 2)]), numbers(3)),
    el("h3", { style: "margin-top: 16px" }, "Tested: increments per doubling of samples seen, ranked among their neighbours"),
    el("p", { class: "soft" }, "Accuracy lost is computed from clean accuracy on the same pictures: part of their link is arithmetic."),
    table([...heads, "correlation", "p", "against"], links.map((l) => [...names(l), l.low === null ? number(l.r, 2) : `${number(l.r, 2)} [${number(l.low, 2)}, ${number(l.high, 2)}]`, probability(l.p), l.p === null ? l.reason : l.method]), numbers(2)));
  const lagged = links.filter((l) => l.lag !== null);
  if (lagged.length) {
    body.append(el("h3", { style: "margin-top: 16px" }, "Lags", el("span", { class: "tag" }, exploratoryWords())),
      table([...heads, "lag (checkpoints)", "correlation at it"], lagged.map((l) => [...names(l), l.lag, number(l.lag_r, 2)]), numbers(2)));
  }
}
