// The last requests, without their texts.

import { $, el, fill } from "./dom.js";
import { clock, count, exactly, millis, money } from "./format.js";

const SOURCES = { cache: "cache", stale: "stale", dedup: "shared", upstream: "model", bypass: "model, no cache", none: "refused" };

const FIRST = 12;

let newest = null;
let shown = [];
let isWhole = false;

export function show({ recent }) {
  const mark = recent.length ? `${recent[0].id} ${recent[0].time} ${recent.length}` : "";
  if (mark === newest) return;
  newest = mark;
  shown = recent;
  draw();
}

function draw() {
  if (!shown.length) {
    return fill($("recent"), el("p", { class: "empty" }, "No requests yet. ", el("a", { href: "#try" }, "Try it here"), " or point a client at this address."));
  }
  const column = (title, kind) => el("th", { scope: "col", class: kind }, title);
  const hadFocus = document.activeElement?.id === "recent-all";
  fill($("recent"), el("table", { class: "recent" },
    el("caption", { class: "hidden" }, "The last requests"),
    el("thead", {}, el("tr", {}, column("Time", "wide"), column("Asked"), column("Answered from"), column("Tokens", "n wide"), column("Cost", "n wide"), column("Saved", "n"), column("Took", "n wide"))),
    el("tbody", {}, ...shown.slice(0, isWhole ? shown.length : FIRST).map(row))),
  shown.length > FIRST ? toggle() : null);
  // The button is a new one with each request; whoever stands on it stays there.
  if (hadFocus) $("recent-all")?.focus({ preventScroll: true });
}

function toggle() {
  const button = el("button", { type: "button", id: "recent-all", "aria-expanded": String(isWhole) }, isWhole ? `Only the last ${FIRST}` : `All ${shown.length}`);
  button.addEventListener("click", () => {
    isWhole = !isWhole;
    draw();
  });
  return button;
}

function row(request) {
  const failed = request.status >= 400 || request.error;
  const about = request.certainty === "estimated" ? "≈" : "";
  const served = request.served && request.served !== request.model ? `, served by ${request.served}` : "";
  const extra = [
    failed && `${request.status}${request.error ? ` ${request.error}` : ""}`,
    request.aborted && "aborted",
    request.attempts > 1 && `${request.attempts} attempts`,
  ].filter(Boolean);
  return el("tr", { title: `Request ${request.id}` },
    el("td", { class: "wide" }, el("time", { datetime: request.time }, clock(request.time))),
    el("td", {}, el("span", { class: "name" }, request.model ?? request.endpoint),
      el("small", {}, el("span", { class: "narrow" }, `${clock(request.time)} · `), `${request.endpoint} · ${request.caller}${served}`)),
    el("td", {}, el("span", { class: `source ${failed ? "failed" : request.source}` }, failed && request.source === "none" ? "refused" : SOURCES[request.source] ?? request.source),
      el("small", { class: "narrow" }, millis(request.ms)), extra.length ? el("small", {}, extra.join(", ")) : null),
    el("td", { class: "n wide" }, `${about}${count(request.promptTokens)} + ${count(request.completionTokens)}`),
    el("td", { class: "n wide", title: exactly(request.costNanoUsd) }, `${about && request.costNanoUsd ? about : ""}${money(request.costNanoUsd)}`),
    el("td", { class: `n ${request.savedNanoUsd ? "saved" : ""}`, title: exactly(request.savedNanoUsd) }, `${about && request.savedNanoUsd ? about : ""}${money(request.savedNanoUsd)}`),
    el("td", { class: "n wide" }, millis(request.ms)));
}
