// Drops in the river: one for each request that has just come, on the way that it took. Only where motion is wanted.

import { $, svg, wantsMotion } from "./dom.js";

const MOST = 24;
const SPREAD = 900; // New requests come once a second; their drops start spread over that time.
const TRAVEL = 1500;

/** Which way a request took. */
const WAYS = { cache: "cache", stale: "cache", dedup: "dedup", upstream: "upstream", bypass: "upstream" };

/** Starts a drop for each request that was not there before, and gives their number. */
export function launch(before, after, paths) {
  if (!wantsMotion() || document.hidden) return 0;
  const known = new Set(before.map(({ id }) => id));
  const fresh = after.filter(({ id }) => !known.has(id)).slice(0, MOST);
  for (const { source, error, attempts } of fresh) {
    const end = error === "circuit_open" ? "stopped" : attempts ? "failed" : "turned";
    const path = paths.get(WAYS[source] ?? end) ?? paths.get("upstream");
    setTimeout(() => travel(path), Math.random() * SPREAD);
  }
  return fresh.length;
}

function travel({ line, class: name }) {
  const drops = $("river").querySelector(".drops");
  if (!drops) return;
  const way = svg("path", { d: line });
  const length = way.getTotalLength();
  const drop = svg("circle", { r: 3.5, class: name });
  const began = performance.now();
  // A redrawn river has a new layer for the drops: those on their way move over to it.
  const step = (now) => {
    const passed = (now - began) / TRAVEL;
    const layer = $("river").querySelector(".drops");
    if (passed >= 1 || !layer) return drop.remove();
    if (drop.parentNode !== layer) layer.append(drop);
    const { x, y } = way.getPointAtLength(length * passed);
    drop.setAttribute("cx", x.toFixed(1));
    drop.setAttribute("cy", y.toFixed(1));
    drop.setAttribute("opacity", Math.min(1, 4 * (1 - passed)).toFixed(2));
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}
