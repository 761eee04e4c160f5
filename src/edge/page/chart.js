// What requests cost and what they would have cost, or how many there were, over time: two bars, one before the other.

import { $, colour, onWidth, say } from "./dom.js";
import { count, day, money, plural, share } from "./format.js";

const HIGH = 240;

const MEASURES = {
  money: {
    back: (bucket) => bucket.wouldHaveCostNanoUsd,
    front: (bucket) => bucket.costNanoUsd,
    tick: (value) => money(value),
    says: (bucket) => bucket.requests
      ? `would have cost ${money(bucket.wouldHaveCostNanoUsd)}, paid ${money(bucket.costNanoUsd)}, saved ${money(bucket.savedNanoUsd)} (${share(bucket.savedNanoUsd, bucket.wouldHaveCostNanoUsd)})`
      : "no requests",
  },
  requests: {
    back: (bucket) => bucket.requests,
    front: (bucket) => bucket.requests - bucket.answeredHere,
    tick: (value) => (Number.isInteger(value) ? count(value) : ""),
    says: (bucket) => bucket.requests
      ? `${plural(bucket.requests, "request")}, ${count(bucket.answeredHere)} answered without the model (${share(bucket.answeredHere, bucket.requests)})`
      : "no requests",
  },
};

let plot = null;
let drawn = null;
let frame = ""; // What the axes and colours were made for.

/* global uPlot */
export function setUp() {
  onWidth($("chart"), (width) => plot?.setSize({ width, height: HIGH }));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn && show(drawn.buckets, drawn.total, drawn.unit, drawn.measure));
  // Canvas texts do not wait for a font by themselves.
  document.fonts.ready.then(() => plot?.redraw(false, true));
  $("chart").addEventListener("keydown", byKey);
}

/** Draws buckets, one an hour or a day, oldest first. */
export function show(buckets, total, unit, measure) {
  drawn = { buckets, total, unit, measure };
  const data = [buckets.map(({ time }) => time / 1000), buckets.map(MEASURES[measure].back), buckets.map(MEASURES[measure].front)];
  const now = [unit, measure, data[0][0], data[0].length, colour("ink")].join(" ");
  if (now === frame) {
    plot.setData(data);
  } else {
    frame = now;
    plot?.destroy();
    plot = new uPlot(options(unit, measure), data, $("chart"));
  }
  read(plot.cursor.idx);
  $("chart").setAttribute("aria-label", `Chart by ${unit}. ${total}: ${MEASURES[measure].says(summed(buckets))}. Arrow keys read single ${unit}s.`);
}

function options(unit, measure) {
  const half = (unit === "hour" ? 3600 : 86_400) / 2;
  const axis = { stroke: colour("soft"), font: "12px 'Source Sans 3', system-ui, sans-serif", ticks: { show: false } };
  const bars = (name) => ({ fill: colour(name), width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.7, 56] }) });
  // Without figures there is no scale to speak of.
  const amount = (value) => (value === 0 ? "0" : plot.data[1].some((sum) => sum > 0) ? MEASURES[measure].tick(value) : "");
  return {
    width: $("chart").clientWidth,
    height: HIGH,
    padding: [8, 0, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    hooks: { setCursor: [({ cursor }) => read(cursor.idx)] },
    scales: {
      x: { range: (_, first, last) => [first - half, last + half] },
      y: { range: (_, __, most) => [0, most > 0 ? most * 1.08 : 1] },
    },
    axes: [
      { ...axis, grid: { show: false }, splits: ({ data }) => marks(data[0]), values: (_, all) => all.map((seconds) => when(seconds * 1000, unit, false)) },
      { ...axis, grid: { stroke: colour("line"), width: 1 }, values: (_, all) => all.map(amount), size: measure === "money" ? 66 : 48, space: 44 },
    ],
    series: [{}, bars("cache"), bars("paid")],
  };
}

/** As many of the buckets as there is room to name, the last among them. */
function marks(seconds) {
  const every = Math.ceil(seconds.length / Math.max(2, Math.floor($("chart").clientWidth / 80)));
  return seconds.filter((_, index) => (seconds.length - 1 - index) % every === 0);
}

const summed = (buckets) => buckets.reduce((sum, bucket) => {
  for (const key of ["requests", "answeredHere", "costNanoUsd", "wouldHaveCostNanoUsd", "savedNanoUsd"]) sum[key] = (sum[key] ?? 0) + bucket[key];
  return sum;
}, {});

/** Says above the chart what a bucket holds, or all of them. */
function read(index) {
  const { buckets, total, unit, measure } = drawn;
  const bucket = index === null || index === undefined ? null : buckets[index];
  const about = bucket ?? summed(buckets);
  say($("readout"), `${bucket ? when(bucket.time, unit, true) : total}: ${MEASURES[measure].says(about)}`);
}

function when(time, unit, isLong) {
  if (unit === "day") return day(time);
  const hour = new Date(time).getUTCHours();
  const text = `${String(hour).padStart(2, "0")}:00`;
  return isLong ? `${day(time)}, ${text} UTC` : text;
}

function byKey(event) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!plot || !(step || event.key === "Escape")) return;
  event.preventDefault();
  if (!step) return plot.setCursor({ left: -10, top: -10 });
  const last = drawn.buckets.length - 1;
  const now = plot.cursor.idx ?? (step > 0 ? -1 : last + 1);
  const next = Math.min(last, Math.max(0, now + step));
  plot.setCursor({ left: plot.valToPos(plot.data[0][next], "x"), top: 10 });
}
