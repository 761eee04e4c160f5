// The stack as a river: what enters it on one side leaves it at the layer that answered, as wide as its share.
//
// Drawn in two coordinates, along the way and across it, so that it lies on wide screens and stands on narrow ones.

import { $, el, fill, onWidth, say, svg } from "./dom.js";
import { count, duration, plural, share, short } from "./format.js";
import { launch } from "./motion.js";

const LAYERS = ["edge", "compress", "cache", "dedup", "breaker", "retry", "upstream"];
const STANDS_BELOW = 760;
const BEND = 12;
const THINNEST = 1.5;

/** What leaves the way, and where: in the order in which it peels off. */
const BRANCHES = [
  { name: "turned", part: "refused", layer: 0, title: "turned away", of: (stack) => stack.unanswered - failed(stack) - opened(stack) },
  { name: "cache", part: "cache", layer: 2, title: "from the cache", of: (stack) => stack.cache + stack.stale, more: ({ stale }) => (stale ? `, ${count(stale)} stale` : "") },
  { name: "dedup", part: "dedup", layer: 3, title: "shared another's call", of: (stack) => stack.dedup },
  { name: "stopped", part: "refused", layer: 4, title: "stopped by a breaker", of: opened },
  { name: "failed", part: "refused", layer: 6, title: "failed", of: failed },
];

function opened(stack) {
  return stack.refusedByBreaker ?? 0;
}

/** Those without an answer that neither the edge nor a breaker turned away. */
function failed(stack) {
  return Math.min(stack.failures, stack.unanswered - opened(stack));
}

let shown = null;
let paths = new Map();

export function setUp() {
  onWidth($("river"), () => shown && draw());
}

export function show(state) {
  const before = shown;
  shown = state;
  if (state.stack.requests) say($("way-since"), `${plural(state.stack.requests, "request")} since the start, ${duration(state.uptimeSeconds)} ago`);
  else if (!before) fill($("way-since"), "No requests since the start: ", el("a", { href: "#try" }, "send one"), ".");
  if (!before || JSON.stringify(before.stack) !== JSON.stringify(state.stack)) draw();
  if (before) launch(before.recent, state.recent, paths);
}

/** The shares of the river: thickness of each branch and of what is left for the model. */
function shares(stack, thickness) {
  const branches = BRANCHES.map((branch) => ({ ...branch, requests: branch.of(stack) })).filter(({ requests }) => requests > 0);
  const answered = branches.reduce((sum, { requests }) => sum + requests, 0);
  const asked = stack.upstream + stack.bypass;
  const total = Math.max(1, answered + asked);
  for (const branch of branches) branch.thick = Math.max(THINNEST, (thickness * branch.requests) / total);
  const left = thickness - branches.reduce((sum, { thick }) => sum + thick, 0);
  return { branches, asked, total, left: asked ? Math.max(THINNEST, left) : 0 };
}

function draw() {
  const { stack, tokens } = shown;
  const width = $("river").clientWidth;
  const stands = width < STANDS_BELOW;
  const along = stands ? 586 : width;
  const across = stands ? width : 282;
  const thickness = stands ? 64 : 96;
  const start = stands ? 84 : 70; // Where the first bank lies, across.
  const bottom = stands ? 176 : 212; // Where branches end, across.
  const step = (along - (stands ? 130 : 214)) / (LAYERS.length - 1);
  const gate = (layer) => (stands ? 24 : 40) + layer * step;
  const end = gate(6) + (stands ? 34 : 56);
  const at = (a, c) => (stands ? `${c.toFixed(1)} ${a.toFixed(1)}` : `${a.toFixed(1)} ${c.toFixed(1)}`);
  // A bend off the way, or back onto it; standing, the picture is mirrored.
  const arc = (radius, isOff, a, c) => `A${radius.toFixed(1)} ${radius.toFixed(1)} 0 0 ${isOff === stands ? 0 : 1} ${at(a, c)}`;
  const band = (kind, a, b, bank) => svg("path", { class: kind, d: `M${at(a, start)}L${at(b, start)}L${at(b, bank)}L${at(a, bank)}Z` });
  const { branches, asked, total, left } = shares(stack, thickness);

  paths = new Map();
  const water = [];
  const words = [];
  const banks = []; // The second bank at each gate: it moves in as branches peel off.
  let bank = start + thickness;
  let from = 0;
  for (const { name, part, layer, title, requests, more, thick } of branches) {
    const a = gate(layer);
    while (banks.length <= layer) banks.push(bank);
    water.push(band("flow", from, a, bank));
    from = a;
    const [near, far] = [a + BEND, a + BEND + thick];
    const ribbon = `M${at(a, bank - thick)}${arc(BEND + thick, true, far, bank + BEND)}L${at(far, bottom)}`
      + `L${at(near, bottom)}L${at(near, bank + BEND)}${arc(BEND, false, a, bank)}Z`;
    water.push(svg("path", { class: `part ${part}`, d: ribbon }, svg("title", {}, `${title}: ${count(requests)}`)));
    const middle = BEND + thick / 2;
    const line = `M${at(0, bank - thick / 2)}L${at(a, bank - thick / 2)}${arc(middle, true, a + middle, bank + BEND)}L${at(a + middle, bottom)}`;
    paths.set(name, { line, class: `drop ${part}` });
    words.push(...label(stands, stands ? a + middle : near, bottom, share(requests, total), title, count(requests) + (stands ? "" : (more?.(stack) ?? "")), part));
    bank -= thick;
  }
  while (banks.length < LAYERS.length) banks.push(left ? bank : start);
  if (left) {
    water.push(band("flow", from, gate(6), start + left));
    const tip = `M${at(gate(6), start)}L${at(end - 10, start)}L${at(end, start + left / 2)}L${at(end - 10, start + left)}L${at(gate(6), start + left)}Z`;
    water.push(svg("path", { class: "part paid", d: tip }, svg("title", {}, `asked the model: ${count(asked)}`)));
    words.push(...(stands
      ? label(true, end + 20, start - 10, share(asked, total), "asked the model", count(asked), "paid")
      : label(false, end + 12, start - 24, share(asked, total), "asked the model", count(asked), "paid")));
  } else if (!stack.requests) {
    water.push(svg("path", { class: "bed", d: `M${at(0, start + thickness / 2)}L${at(end, start + thickness / 2)}` }));
    banks.fill(start + thickness);
  }
  paths.set("upstream", { line: `M${at(0, start + left / 2)}L${at(end, start + left / 2)}`, class: "drop paid" });

  const beside = notes(stack, tokens);
  const gates = LAYERS.flatMap((name, index) => gateMarks(stands, gate(index), start, banks[index], name, beside[name]));
  const high = stands ? along : across;
  fill($("river"), svg("svg", { width, height: high, viewBox: `0 0 ${width} ${high}`, role: "img", "aria-label": spoken(branches, asked, total) },
    svg("g", {}, ...water), svg("g", {}, ...gates), svg("g", { class: "drops", "aria-hidden": "true" }), svg("g", {}, ...words)));
}

/** What a layer does beside answering. */
function notes(stack, tokens) {
  const saved = tokens.before - tokens.after;
  return {
    edge: stack.inFlight ? `${count(stack.inFlight)} in flight` : "",
    compress: saved > 0 ? `−${short(saved)} tokens` : "",
    retry: stack.retries ? plural(stack.retries, "retry", "retries") : "",
  };
}

function gateMarks(stands, a, start, bank, name, note = "") {
  const [first, last] = [start - 8, bank + 8];
  const line = stands
    ? svg("line", { class: "gate", x1: first, x2: last, y1: a, y2: a })
    : svg("line", { class: "gate", x1: a, x2: a, y1: first, y2: last });
  const text = stands
    ? [svg("text", { class: "layer", x: 0, y: a + 4 }, name), svg("text", { class: "note", x: 0, y: a + 19 }, note)]
    : [svg("text", { class: "layer", x: a, y: start - 34 }, name), svg("text", { class: "note", x: a, y: start - 17 }, note)];
  return [line, ...text];
}

function label(stands, a, c, percent, title, number, name) {
  const [x, y] = stands ? [c + 10, a] : [a, c];
  return [
    svg("text", { class: `share ${name}`, x, y: y + (stands ? 2 : 24) }, percent),
    svg("text", { class: "note", x, y: y + (stands ? 18 : 42) }, stands ? `${title}, ${number}` : title),
    stands ? null : svg("text", { class: "note", x, y: y + 58 }, number),
  ];
}

function spoken(branches, asked, total) {
  const parts = branches.map(({ requests, title }) => `${share(requests, total)} ${title}`);
  parts.push(`${share(asked, total)} asked the model`);
  return shown.stack.requests
    ? `Requests pass ${LAYERS.join(", ")}. Of those answered: ${parts.join("; ")}.`
    : `Requests pass ${LAYERS.join(", ")}. None has come yet.`;
}
