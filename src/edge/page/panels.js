// Tokens, breakers, and how the process is.

import { $, el, fill, svg } from "./dom.js";
import { bytes, clock, count, duration, plural, share, short } from "./format.js";

export function show(state) {
  tokens(state);
  breakers(state.breakers);
  resources(state);
}

function tokens({ tokens: { before, after }, overall }) {
  if (!before) {
    return fill($("tokens"), el("p", { class: "empty" }, "No prompts yet."));
  }
  const bar = (part, value) =>
    svg("svg", { class: "bar", viewBox: "0 0 100 8", preserveAspectRatio: "none", height: 8, "aria-hidden": "true" },
      svg("rect", { class: "track", width: 100, height: 8 }), svg("rect", { class: `part ${part}`, width: ((100 * value) / before).toFixed(2), height: 8 }));
  const { cache, dedup, compression } = overall.tokensSaved;
  fill($("tokens"),
    el("p", { class: "bartitle" }, el("span", {}, "Prompts as they came"), el("b", {}, short(before))), bar("paid", before),
    el("p", { class: "bartitle" }, el("span", {}, "As they went on"), el("b", {}, short(after))), bar("cache", after),
    el("dl", { class: "pairs" },
      pair("Taken out", `${short(before - after)} (${share(before - after, before)})`),
      pair("Never asked for, thanks to the cache", short(cache)),
      pair("… to shared calls", short(dedup)),
      pair("Compressed away, overall", short(compression))));
}

const STATES = { CLOSED: "closed", OPEN: "open", HALF_OPEN: "half-open" };

function breakers(all) {
  if (!all.length) {
    return fill($("breakers"), el("p", { class: "empty" }, "None yet: each model gets one with its first call."));
  }
  const open = all.filter(({ state }) => state !== "CLOSED");
  const summary = open.length
    ? `${plural(open.length, "breaker")} of ${count(all.length)} not closed: those models are not asked.`
    : all.length === 1 ? "Closed: calls pass." : `All ${count(all.length)} closed: calls pass.`;
  const sorted = [...open, ...all.filter(({ state }) => state === "CLOSED")];
  fill($("breakers"), el("p", { class: open.length ? "bad" : "good" }, summary),
    el("ul", { class: "breakers" }, ...sorted.slice(0, 8).map((breaker) => {
      const again = breaker.nextAttemptTime && `, next try ${clock(breaker.nextAttemptTime)}`;
      const failures = breaker.failureCount ? `, ${plural(breaker.failureCount, "failure")} in a row` : "";
      return el("li", { class: breaker.state.toLowerCase() },
        el("span", { class: "dot", "aria-hidden": "true" }), el("span", { class: "name" }, breaker.name),
        el("small", {}, `${STATES[breaker.state] ?? breaker.state}${failures}${again || ""}`));
    })),
    sorted.length > 8 ? el("p", { class: "aside" }, `and ${count(sorted.length - 8)} more, closed`) : null);
}

function resources({ resources: now, uptimeSeconds, version }) {
  const sockets = now.upstreamSockets;
  fill($("resources"),
    pair("Up", `${duration(uptimeSeconds)}, version ${version}`),
    pair("Memory", bytes(now.residentBytes)),
    sockets ? pair("Upstream sockets", `${count(sockets.inUse)} of ${count(sockets.limit)}${sockets.waiting ? `, ${count(sockets.waiting)} wait` : ""}`) : null,
    pair("Descriptors", count(now.descriptors)),
    pair("In flight", count(now.inFlight)),
    pair("Cache", `${plural(now.cacheEntries, "answer")}, ${bytes(now.cacheBytes)}`),
    pair("Ledger", now.ledgerDropped ? `${plural(now.ledgerDropped, "row")} lost` : now.ledgerQueue ? `${plural(now.ledgerQueue, "row")} queued` : "up to date"));
}

const pair = (name, value) => el("div", {}, el("dt", {}, name), el("dd", {}, value));
