// What comes first: the money, and four figures beside it.

import { $, el, fill, onWidth, say, svg } from "./dom.js";
import { count, exactly, money, plural, share, short, times } from "./format.js";

/** Who paid for what a request would have cost: what was paid, then the savings by layer. */
export const PARTS = [
  ["paid", "paid", (figures) => figures.costNanoUsd],
  ["cache", "cache", (figures) => figures.saved.cacheNanoUsd],
  ["dedup", "shared calls", (figures) => figures.saved.dedupNanoUsd],
  ["compression", "compression", (figures) => figures.saved.compressionNanoUsd],
  ["provider", "provider's cache", (figures) => figures.saved.providerCacheNanoUsd],
];

let shown = null;

export function setUp() {
  onWidth($("split").parentElement, () => shown && split(shown.today));
}

export function show(state) {
  shown = state;
  const { today, overall } = state;
  sum("today", today);
  sum("overall", overall);
  split(today);
  honesty(today);
  facts(state);
  document.title = overall.requests ? `${money(today.savedNanoUsd)} saved today · Pegasus Nest` : "Pegasus Nest";
}

function sum(name, figures) {
  const text = about(figures, money(figures.savedNanoUsd));
  const parts = /^(≈?<?−?)(\$)([\d,]+)(\.\d+)?$/.exec(text);
  const node = $(`${name}-figure`);
  if (node.dataset.text !== text) {
    node.dataset.text = text;
    const [, sign, unit, whole, rest = ""] = parts ?? ["", "", "", text];
    fill(node, sign && el("span", { class: "unit" }, sign), el("span", { class: "unit" }, unit), whole, el("span", { class: "cents" }, rest));
  }
  node.title = exactly(figures.savedNanoUsd);
  const would = figures.wouldHaveCostNanoUsd;
  if (!figures.requests && name === "today") {
    return $(`${name}-of`).querySelector("a") ? undefined : fill($(`${name}-of`), "No requests yet. ", el("a", { href: "#try" }, "Try it here"), ".");
  }
  say($(`${name}-of`), would
    ? `${share(figures.savedNanoUsd, would)} of the ${money(would)} it would have cost. Paid: ${money(figures.costNanoUsd)}.`
    : figures.requests ? "Nothing that has a price was asked yet." : "No requests yet.");
}

/** Marks what rests on estimates. */
export const about = (figures, text) => (figures.estimatedRequests ? `≈${text}` : text);

function split(today) {
  const node = $("split");
  const width = node.parentElement.clientWidth;
  const parts = PARTS.map(([name, title, of]) => [name, title, of(today)]).filter(([, , value]) => value > 0);
  const sum = parts.reduce((total, [, , value]) => total + value, 0);
  node.toggleAttribute("hidden", !sum);
  node.setAttribute("width", width);
  node.setAttribute("viewBox", `0 0 ${width} 22`);
  const gap = 2;
  const room = width - gap * (parts.length - 1);
  let x = 0;
  fill(node, parts.map(([name, title, value]) => {
    const wide = Math.max(1.5, (room * value) / sum);
    const bar = svg("rect", { class: `part ${name}`, x: x.toFixed(1), y: 0, width: wide.toFixed(1), height: 22 },
      svg("title", {}, `${title}: ${exactly(value)}`));
    x += wide + gap;
    return bar;
  }));
  const words = parts.map(([, title, value]) => `${title} ${money(value)}`).join(", ");
  node.setAttribute("aria-label", `What today's requests would have cost, by who paid: ${words}`);
  fill($("split-key"), parts.map(([name, title, value]) =>
    el("li", {}, swatch(name), el("b", {}, money(value)), ` ${title}`)));
}

export const swatch = (name) =>
  svg("svg", { class: "swatch", width: 10, height: 10, "aria-hidden": "true" }, svg("rect", { class: `part ${name}`, width: 10, height: 10 }));

/** What the figures rest on where that is not the upstream's own word. */
function honesty(today) {
  const says = [];
  if (today.estimatedRequests) says.push(`≈ ${count(today.estimatedRequests)} of ${plural(today.requests, "request")} ${today.estimatedRequests === 1 ? "rests" : "rest"} on estimated token counts.`);
  if (today.unpricedRequests) says.push(`${plural(today.unpricedRequests, "request")} asked models without a known price and count as $0; Usage names them.`);
  say($("honesty"), says.join(" "));
}

function facts({ stack, latencyMs, tokens, today }) {
  const hits = stack.cache + stack.stale;
  say($("hit-rate"), share(hits, stack.requests));
  say($("hit-rate-of"), stack.requests ? `${count(hits)} of ${count(stack.requests)} since the start` : "no requests since the start");

  const [hit, upstream] = [latencyMs.hit?.p50, latencyMs.upstream?.p50];
  const isKnown = hit > 0 && upstream > 0;
  say($("faster"), isKnown ? times(upstream / hit) : "–");
  say($("faster-of"), isKnown ? "as fast as asking the model (medians)" : "known after the first hit");

  const [before, after] = [tokens.before, tokens.after];
  say($("shrunk"), before ? (before > after ? `−${share(before - after, before)}` : "0 %") : "–");
  say($("shrunk-of"), before ? `${short(before)} before, ${short(after)} after compression` : "nothing to compress yet");

  say($("count"), count(today.requests));
  const wrong = [today.errors && plural(today.errors, "error"), today.aborted && `${count(today.aborted)} aborted`].filter(Boolean);
  say($("count-of"), [...wrong, `${count(stack.inFlight)} in flight`].join(", "));
}
