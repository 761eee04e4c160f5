// How long answers take with us and without, on a logarithmic scale.

import { $, el, fill, onWidth, say, svg } from "./dom.js";
import { millis, times } from "./format.js";

const ROWS = [
  ["hit", "From the cache", "cache"],
  ["upstream", "From the model", "paid"],
  ["firstToken", "Its first token", "paid"],
  ["addedByUs", "Added by us", "compression"],
];
const HIGH = 22;

let shown = null;

export function setUp() {
  onWidth($("latency"), () => shown && draw());
}

export function show({ latencyMs }) {
  const isNew = JSON.stringify(shown) !== JSON.stringify(latencyMs);
  shown = latencyMs;
  const [hit, upstream] = [shown.hit?.p50, shown.upstream?.p50];
  say($("latency-says"), hit > 0 && upstream > 0
    ? `A repeat takes ${millis(hit)} in place of ${millis(upstream)}: ${times(upstream / hit)} as fast.`
    : "Medians and tails, since the start.");
  if (isNew) draw();
}

function draw() {
  const known = ROWS.filter(([name]) => typeof shown[name]?.p50 === "number");
  if (!known.length) {
    return fill($("latency"), el("p", { class: "empty" }, "Nothing measured yet: ", el("a", { href: "#try" }, "ask something"), "."));
  }
  const width = $("latency").clientWidth;
  const isNarrow = width < 620;
  const plot = Math.max(80, width - (isNarrow ? 232 : 430));
  const values = known.flatMap(([name]) => [shown[name].p50, shown[name].p99]).filter((value) => value > 0);
  const low = Math.floor(Math.log10(Math.min(...values, 1)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values, 1))));
  const x = (ms) => 6 + ((plot - 12) * (Math.log10(Math.max(ms, 10 ** low)) - low)) / (high - low);
  const decades = Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index));
  const columns = isNarrow ? ["p50", "p99"] : ["p50", "p95", "p99"];
  fill($("latency"), el("table", { class: "latency" },
    el("thead", {}, el("tr", {},
      el("th", { scope: "col" }, el("span", { class: "hidden" }, "What")),
      el("td", { class: "plot" }, axis(decades, x, plot, isNarrow)),
      ...columns.map((name) => el("th", { scope: "col", class: "n" }, name === "p50" ? "median" : name)))),
    el("tbody", {}, ...known.map(([name, title, part]) => {
      const { p50, p95, p99 } = shown[name];
      return el("tr", {},
        el("th", { scope: "row" }, title),
        el("td", { class: "plot" }, range(p50, p95, p99, part, decades, x, plot)),
        ...columns.map((column) => el("td", { class: "n" }, millis(shown[name][column]))));
    }))));
}

function axis(decades, x, plot, isNarrow) {
  const labels = decades.filter((_, index, all) => !isNarrow || index === 0 || index === all.length - 1).map((ms, index, all) =>
    svg("text", { class: "tick", x: x(ms), y: 12, "text-anchor": index === 0 ? "start" : index === all.length - 1 ? "end" : "middle" },
      ms >= 1000 ? `${ms / 1000} s` : `${ms} ms`));
  return svg("svg", { width: plot, height: 16, "aria-hidden": "true" }, ...labels);
}

function range(p50, p95, p99, part, decades, x, plot) {
  const middle = HIGH / 2;
  return svg("svg", { width: plot, height: HIGH, "aria-hidden": "true" },
    ...decades.map((ms) => svg("line", { class: "grid", x1: x(ms), x2: x(ms), y1: 0, y2: HIGH })),
    svg("line", { class: `range ${part}`, x1: x(p50), x2: x(p99), y1: middle, y2: middle }),
    svg("line", { class: `range ${part}`, x1: x(p95), x2: x(p95), y1: middle - 5, y2: middle + 5 }),
    svg("circle", { class: `part ${part}`, cx: x(p50), cy: middle, r: 5.5 }));
}
