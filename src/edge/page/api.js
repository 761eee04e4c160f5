// Calls to the proxy. Where it asks for a token, a dialog asks for it once, for all calls that wait.

import { $, say } from "./dom.js";

/** Where the proxy is, which may be below a path of somebody else's. */
export const HERE = new URL(".", document.baseURI);

const KEY = "pegasus-nest-token";

/** An answer that is no success. */
export class Refused extends Error {
  constructor(status, body) {
    super(body?.error ?? `the proxy answered with status ${status}`);
    this.status = status;
    this.code = body?.code;
  }
}

/** Whoever was asked for a token has none. */
export class Denied extends Error {}

let token = stored();
let asking = null;

function stored() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function keep(value) {
  token = value;
  try {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
  } catch {
    // Without a storage the token lasts as long as the page.
  }
  $("token-forget").hidden = !value;
  $("token-enter").hidden = true;
}

/** Sends a request to a path of the proxy, with the token if there is one, and gives its response if it is a success. */
export async function call(path, options = {}) {
  for (;;) {
    const shown = token;
    const headers = { ...options.headers, ...(shown && { authorization: `Bearer ${shown}` }) };
    const response = await fetch(new URL(path, HERE), { ...options, headers, redirect: "error" });
    if (response.ok) return response;
    const refusal = new Refused(response.status, await response.json().catch(() => null));
    if (!wantsToken(refusal, shown)) throw refusal;
    // Another call may have got a token in the meantime.
    if (shown === token) await ask(shown && refusal.message, options.signal);
  }
}

export const json = async (path, options) => (await call(path, options)).json();

/** A token helps where none was known, or the one shown is not enough. Without any, 403 is for strangers' machines. */
const wantsToken = ({ status, code }, shown) =>
  (status === 401 && code === "unauthorized") || (status === 403 && code === "forbidden" && Boolean(shown));

function ask(why, signal) {
  asking ??= new Promise((resolve, reject) => {
    const dialog = $("token-dialog");
    say($("token-why"), why
      ? `That token will not do: ${why}.`
      : "The figures of this proxy are its operator's. Enter its admin token (auth.admin_token), or a client's where it has none.");
    $("token").value = "";
    dialog.returnValue = "";
    // Escape leaves the value empty, as the button does.
    dialog.addEventListener("close", () => {
      asking = null;
      const given = dialog.returnValue === "given" && $("token").value.trim();
      $("token").value = "";
      if (given) {
        keep(given);
        resolve();
      } else {
        $("token-enter").hidden = false;
        reject(new Denied("there is no token"));
      }
    }, { once: true });
    if (!dialog.open) dialog.showModal();
  });
  return Promise.race([asking, aborted(signal)]);
}

const aborted = (signal) =>
  new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason), { once: true }));

/** Wires the dialog and the buttons around it. `changed` is told of a new token, and that there is none any more. */
export function setUp(changed) {
  $("token-forget").hidden = !token;
  $("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    $("token-dialog").close("given");
  });
  $("token-cancel").addEventListener("click", () => $("token-dialog").close(""));
  $("token-forget").addEventListener("click", () => {
    keep(null);
    changed();
  });
  $("token-enter").addEventListener("click", () => ask().then(changed, () => {}));
}
