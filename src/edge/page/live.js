// The proxy's state as it changes, from `/api/events`. By fetch, because EventSource cannot send a token.

import { call, Denied } from "./api.js";

const SILENCE = 40_000; // Comments come every 15 s: after this long nobody is there.
const LONGEST_WAIT = 30_000;

/** Follows the events while the page can be seen. `onStatus` is told ("live" | "paused" | "offline" | "denied" |
 * "connecting", what to say). Gives a function that begins anew. */
export function follow(onState, onStatus) {
  let current = null;
  let failures = 0;
  let timer = 0;

  async function connect() {
    clearTimeout(timer);
    current?.abort();
    const attempt = (current = new AbortController());
    if (document.hidden) return onStatus("paused", "paused while hidden");
    if (failures === 0) onStatus("connecting", "connecting");
    try {
      const response = await call("api/events", { headers: { accept: "text/event-stream" }, signal: attempt.signal });
      await read(response.body, attempt, (state) => {
        failures = 0;
        onStatus("live", "live");
        onState(state);
      });
      throw new Error("the connection has ended");
    } catch (error) {
      if (attempt !== current || attempt.signal.aborted && document.hidden) return;
      if (error instanceof Denied) return onStatus("denied", "waits for a token");
      // No token helps here, nor does time: the settings do.
      if (error.status === 403) return onStatus("denied", error.message);
      const wait = Math.min(LONGEST_WAIT, 1000 * 2 ** failures) * (0.75 + Math.random() / 4);
      failures += 1;
      const why = error.status ? error.message : "no connection";
      onStatus("offline", `offline: ${why}; next try in ${Math.ceil(wait / 1000)} s`);
      timer = setTimeout(connect, wait);
    }
  }

  function restart() {
    failures = 0;
    connect();
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(timer);
      current?.abort(new Error("hidden"));
      onStatus("paused", "paused while hidden");
    } else {
      restart();
    }
  });
  addEventListener("online", restart);
  connect();
  return restart;
}

/** Reads events to the end of the stream. */
async function read(body, attempt, onState) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const silent = () => attempt.abort(new Error("silence"));
  let alarm = setTimeout(silent, SILENCE);
  let text = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(alarm);
      alarm = setTimeout(silent, SILENCE);
      const events = (text + value).split(/\r?\n\r?\n/);
      text = events.pop();
      for (const event of events) {
        const state = parse(event);
        if (state) onState(state);
      }
    }
  } finally {
    clearTimeout(alarm);
  }
}

/** The data of an event named "state"; comments and others give nothing. */
function parse(event) {
  let name = "message";
  const data = [];
  for (const line of event.split(/\r?\n/)) {
    const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line);
    if (field === "event") name = value;
    if (field === "data") data.push(value);
  }
  return name === "state" && data.length ? JSON.parse(data.join("\n")) : null;
}
