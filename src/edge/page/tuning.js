// What adjusts itself, and why.

import { $, el, fill, say } from "./dom.js";
import { clock, count, plural } from "./format.js";

const MODES = {
  off: "Switched off (tuning.mode): nothing is watched, nothing changes.",
  observe: "It only says what it would do; with tuning.mode = \"act\" it does it, and takes back what did harm.",
  act: "What is decided is done, measured, and taken back where it did harm.",
};

let drawn = null;

export function show({ tuning }) {
  const mark = JSON.stringify(tuning);
  if (mark === drawn) return;
  drawn = mark;
  say($("tuning-says"), tuning.frozen ? "Frozen by an operator: what would be done is only said." : MODES[tuning.mode]);
  const doubts = tuning.doubts ? el("p", { class: "aside" }, tuning.doubts) : null;
  if (!tuning.decisions.length) {
    const none = tuning.mode === "off" ? "Nothing has been decided." : "Nothing to change so far: each look needs a few hundred requests, and most find that all is well.";
    return fill($("tuning-table"), el("p", { class: "empty" }, none), doubts);
  }
  const column = (title, kind) => el("th", { scope: "col", class: kind }, title);
  fill($("tuning-table"), el("table", {},
    el("caption", { class: "hidden" }, "The last decisions"),
    el("thead", {}, el("tr", {}, column("Time", "wide"), column("Decision"), column("Expected", "n wide"), column("Measured", "n"))),
    el("tbody", {}, ...tuning.decisions.map(row))), doubts);
}

function row(decision) {
  const times = decision.times > 1 ? `, ${plural(decision.times, "time")}` : "";
  return el("tr", {},
    el("td", { class: "wide" }, el("time", { datetime: decision.at }, clock(decision.at))),
    el("td", {}, el("span", { class: "name" }, `${decision.subject}: ${decision.before} → ${decision.after}`),
      el("small", {}, `${decision.action[0].toUpperCase()}${decision.action.slice(1)}${times}. ${decision.evidence}`)),
    el("td", { class: "n wide" }, ...gain(decision.expected, "–")),
    el("td", { class: "n" }, ...gain(decision.measured, "not yet")));
}

function gain(figure, none) {
  if (!figure) return [none];
  const digits = Math.abs(figure.amount) < 10 ? 2 : 0;
  const amount = figure.amount.toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: digits });
  return [figure.unit.startsWith("dollars") ? `$${amount}` : Math.abs(figure.amount) < 10 ? amount : count(Math.round(figure.amount)),
    el("small", {}, figure.unit.replace("dollars ", ""))];
}
