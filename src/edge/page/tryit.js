// One prompt, twice: what a miss costs and what a hit saves. Nothing is sent before the button is pressed.

import { call, Denied } from "./api.js";
import { $, el, fill, say } from "./dom.js";
import { count, millis, money, times } from "./format.js";

let running = null;

export function setUp() {
  $("try-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (running) running.abort();
    else run();
  });
  $("prompt").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("try-form").requestSubmit();
  });
}

export function show({ demo }) {
  say($("try-cost"), demo
    ? "Costs nothing: the model is simulated in this demo."
    : "One call to your upstream, which may cost money; nothing is sent before you press the button.");
}

async function run() {
  running = new AbortController();
  say($("try-go"), "Stop");
  const runs = [];
  try {
    for (const title of ["First run", "Second run"]) {
      fill($("try-result"), verdict(runs), pair([...runs.map(card), waiting(title)]));
      runs.push({ title, ...(await once(running.signal)) });
    }
    fill($("try-result"), verdict(runs), pair(runs.map(card)));
  } catch (error) {
    fill($("try-result"), pair(runs.map(card)), el("p", { class: "notice" }, said(error)));
  } finally {
    running = null;
    say($("try-go"), "Ask twice");
  }
}

function said(error) {
  if (error.name === "AbortError") return "Stopped.";
  if (error instanceof Denied) return "This needs a token; press the button again to enter one.";
  if (error.code === "cross_origin") return `Over plain HTTP the proxy trusts a page by IP address or localhost alone. Open it under one of these, or add ${location.origin} to server.cors_origins.`;
  return `That did not work: ${error.message}${error.status ? ` (status ${error.status})` : ""}.`;
}

async function once(signal) {
  const model = $("try-model").value.trim();
  const body = JSON.stringify({ prompt: $("prompt").value, ...(model && { model }) });
  const began = performance.now();
  const response = await call("create", { method: "POST", headers: { "content-type": "application/json" }, body, signal });
  const answer = await response.json();
  return { ms: performance.now() - began, timing: timing(response.headers.get("server-timing")), answer };
}

/** What the proxy says that it took, which is without the browser's own time. */
function timing(header) {
  const found = /(?:^|,)\s*total;dur=([\d.]+)/.exec(header ?? "");
  return found ? Number(found[1]) : null;
}

function verdict([first, second]) {
  if (!second) return null;
  const [slow, fast] = [first, second].map((run) => run.timing ?? run.ms);
  const saved = second.answer.optimizationStats.costSavedUsd;
  if (first.answer.optimizationStats.cacheHit) {
    return el("p", { class: "verdict" }, "Both came from the cache: this prompt was known already. Change a word to see a miss.");
  }
  if (!second.answer.optimizationStats.cacheHit) {
    return el("p", { class: "verdict" }, "Both asked the model: its answer was not one to keep, or the cache is off.");
  }
  return el("p", { class: "verdict" }, el("b", {}, `${millis(slow)} → ${millis(fast)}`), `, ${times(slow / fast)} as fast`,
    saved ? ", " : null, saved ? el("b", { class: "saved" }, `${money(saved * 1e9)} saved`) : null, ".");
}

const pair = (cards) => el("div", { class: "columns runs" }, ...cards);

const waiting = (title) => el("article", { class: "run" }, el("h3", {}, title), el("p", { class: "aside" }, "waiting for the answer …"));

function card({ title, ms, timing: inside, answer }) {
  const stats = answer.optimizationStats;
  const fact = (name, value, kind) => el("div", {}, el("dt", {}, name), el("dd", { class: kind }, value));
  return el("article", { class: "run" },
    el("h3", {}, title, " ", el("span", { class: `source ${stats.cacheHit ? "cache" : "upstream"}` }, stats.cacheStatus)),
    el("dl", { class: "pairs" },
      fact("In the proxy", inside === null ? "–" : millis(inside)),
      fact("Seen from here", millis(ms)),
      fact("Tokens used", count(stats.tokensUsed)),
      fact("Tokens saved", count(stats.tokensSaved), stats.tokensSaved ? "saved" : null),
      fact("Cost", stats.costUsd === null ? "unknown" : money(stats.costUsd * 1e9)),
      fact("Saved", stats.costSavedUsd === null ? "unknown" : money(stats.costSavedUsd * 1e9), stats.costSavedUsd ? "saved" : null)),
    el("p", { class: "answer" }, answer.response),
    el("p", { class: "aside" }, `${answer.model}. ${answer.message}`));
}
