// Usage over a range of time: the chart, the table by model or caller, and where the saving comes from.

import { call, Denied, json } from "./api.js";
import * as chart from "./chart.js";
import { $, chosen, el, fill, say, svg } from "./dom.js";
import { count, exactly, money, plural, share, short } from "./format.js";
import { about, swatch } from "./overview.js";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const REFRESH = 5000;
const HERE = new Set(["cache", "stale", "dedup"]);

/** From when, and in which steps. */
const RANGES = {
  today: { title: "Today", unit: "hour", steps: 24, from: () => floor(DAY) },
  "24h": { title: "The last 24 hours", unit: "hour", steps: 24, from: () => floor(HOUR) - 23 * HOUR },
  "7d": { title: "The last 7 days", unit: "day", steps: 7, from: () => floor(DAY) - 6 * DAY },
  "30d": { title: "The last 30 days", unit: "day", steps: 30, from: () => floor(DAY) - 29 * DAY },
};

const floor = (unit) => Math.floor(Date.now() / unit) * unit;

let seen = -1; // How many requests the ledger had when last asked.
let asked = -REFRESH;
let later = 0;
let latest = 0;
let timeline = null;

export function setUp() {
  chart.setUp();
  for (const name of ["range", "group"]) $(name).addEventListener("change", refresh);
  $("measure").addEventListener("change", () => timeline && draw());
  $("csv").addEventListener("click", download);
}

/** Asks again where there is something new, at most every few seconds. */
export function show({ overall }) {
  if (overall.requests === seen) return;
  seen = overall.requests;
  clearTimeout(later);
  later = setTimeout(refresh, Math.max(0, asked + REFRESH - performance.now()));
}

function query(group) {
  const range = RANGES[chosen("range")];
  return `from=${new Date(range.from()).toISOString()}&group_by=${group}`;
}

async function refresh() {
  clearTimeout(later);
  asked = performance.now();
  const turn = (latest += 1);
  const range = RANGES[chosen("range")];
  const group = chosen("group");
  try {
    const [overTime, grouped, savings] = await Promise.all([
      json(`api/usage?${query(`${range.unit},source`)}`),
      json(`api/usage?${query(`${group},source`)}`),
      json(`api/usage/savings?from=${new Date(range.from()).toISOString()}`),
    ]);
    // An answer to an earlier choice must not overwrite that to a later one.
    if (turn !== latest) return;
    $("usage-error").hidden = true;
    timeline = { range, buckets: buckets(overTime.rows, range) };
    draw();
    table(gather(grouped.rows, group), group, savings.unpricedModels);
    layers(savings);
  } catch (error) {
    if (turn !== latest || error instanceof Denied) return;
    $("usage-error").hidden = false;
    say($("usage-error"), `The usage cannot be shown: ${error.message}.`);
  }
}

const draw = () => chart.show(timeline.buckets, timeline.range.title, timeline.range.unit, chosen("measure"));

const none = () => ({ requests: 0, answeredHere: 0, tokens: 0, costNanoUsd: 0, wouldHaveCostNanoUsd: 0, savedNanoUsd: 0, estimatedRequests: 0, unpricedRequests: 0 });

function put(sum, row) {
  for (const key of ["requests", "costNanoUsd", "wouldHaveCostNanoUsd", "savedNanoUsd", "estimatedRequests", "unpricedRequests"]) sum[key] += row[key];
  sum.tokens += row.promptTokens + row.completionTokens;
  if (HERE.has(row.source)) sum.answeredHere += row.requests;
}

/** A bucket for each hour or day, those without requests too. */
function buckets(rows, { unit, steps, from }) {
  const size = unit === "hour" ? HOUR : DAY;
  const begin = from();
  const all = Array.from({ length: steps }, (_, index) => ({ time: begin + index * size, ...none() }));
  for (const row of rows) {
    const bucket = all[Math.floor((Date.parse(row[unit]) - begin) / size)];
    if (bucket) put(bucket, row);
  }
  return all;
}

/** The rows of each model or caller summed, the dearest first. */
function gather(rows, group) {
  const sums = new Map();
  for (const row of rows) {
    const name = row[group] || (group === "model" ? "no model" : "nobody");
    if (!sums.has(name)) sums.set(name, { name, ...none() });
    put(sums.get(name), row);
  }
  return [...sums.values()].sort((a, b) => b.wouldHaveCostNanoUsd - a.wouldHaveCostNanoUsd || b.requests - a.requests);
}

function table(sums, group, unpriced) {
  if (!sums.length) {
    return fill($("usage-table"), el("p", { class: "empty" }, "No requests in this time. ", el("a", { href: "#try" }, "Try it here"), "."));
  }
  const most = Math.max(...sums.map(({ wouldHaveCostNanoUsd }) => wouldHaveCostNanoUsd));
  const head = [[group === "model" ? "Model" : "Caller"], ["Requests", "n"], ["Hits", "n wide", "Answered without asking the model"], ["Tokens", "n wide"], ["Paid", "n"], ["Saved", "n"]];
  fill($("usage-table"), el("table", {},
    el("caption", { class: "hidden" }, `Usage by ${group}`),
    el("thead", {}, el("tr", {}, ...head.map(([title, kind, more]) => el("th", { scope: "col", class: kind, title: more }, title)))),
    el("tbody", {}, ...sums.slice(0, 20).map((sum) => line(sum, most, group === "model" && unpriced.includes(sum.name)))),
  ), sums.length > 20 ? el("p", { class: "aside" }, `and ${count(sums.length - 20)} more; the CSV has them all`) : null);
}

function line(sum, most, isUnpriced) {
  const part = (value) => (most ? (100 * value) / most : 0).toFixed(2);
  const bar = svg("svg", { class: "bar", viewBox: "0 0 100 4", preserveAspectRatio: "none", height: 4, "aria-hidden": "true" },
    svg("rect", { class: "part cache", width: part(sum.wouldHaveCostNanoUsd), height: 4 }),
    svg("rect", { class: "part paid", width: part(sum.costNanoUsd), height: 4 }));
  return el("tr", {},
    el("th", { scope: "row" }, el("span", { class: "name" }, sum.name), isUnpriced ? el("small", { class: "warn" }, "price unknown, counts as $0") : null, bar),
    el("td", { class: "n" }, count(sum.requests)),
    el("td", { class: "n wide" }, share(sum.answeredHere, sum.requests)),
    el("td", { class: "n wide" }, about(sum, short(sum.tokens))),
    el("td", { class: "n", title: exactly(sum.costNanoUsd) }, isUnpriced ? "–" : about(sum, money(sum.costNanoUsd))),
    el("td", { class: "n saved", title: exactly(sum.savedNanoUsd) }, isUnpriced ? "–" : about(sum, money(sum.savedNanoUsd))));
}

const LAYERS = {
  cache: ["cache", "Cache"], dedup: ["dedup", "Shared calls"], compression: ["compression", "Compression"],
  provider_cache: ["provider", "Provider's cache"], max_tokens: ["none", "Limits on answers"],
};

function layers({ layers: all, certainty, unpricedModels }) {
  const sum = certainty.reported + certainty.exact + certainty.estimated;
  fill($("layers"), el("ul", { class: "layers" }, ...all.map(({ layer, savedNanoUsd, requests, tokens, explanation }) => {
    const [part, title] = LAYERS[layer] ?? ["none", layer];
    const by = [requests && plural(requests, "request"), tokens && `${short(tokens)} tokens`].filter(Boolean).join(", ");
    return el("li", {}, el("p", {}, swatch(part), el("span", {}, title), el("b", { title: exactly(savedNanoUsd) }, money(savedNanoUsd))),
      el("small", {}, [explanation, by && ` ${by}.`].filter(Boolean).join("")));
  })),
  el("p", { class: "aside" }, sum ? `Token counts: ${share(certainty.reported, sum)} reported by the model, ${share(certainty.exact, sum)} counted exactly, ${share(certainty.estimated, sum)} estimated.` : ""),
  unpricedModels.length ? el("p", { class: "warn" }, `Without a known price, so counted as $0: ${unpricedModels.join(", ")}.`) : null);
}

async function download() {
  const unit = RANGES[chosen("range")].unit;
  try {
    const response = await call(`api/usage?${query(`${unit},model,caller,source`)}&format=csv`);
    const link = el("a", { href: URL.createObjectURL(await response.blob()), download: `pegasus-nest-usage-${chosen("range")}.csv` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  } catch (error) {
    if (error instanceof Denied) return;
    $("usage-error").hidden = false;
    say($("usage-error"), `There is no CSV: ${error.message}.`);
  }
}
