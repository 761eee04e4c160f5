// Puts the page together: one stream of states comes in, and each part shows what concerns it.

import * as api from "./api.js";
import * as clear from "./clear.js";
import { $, say } from "./dom.js";
import * as latency from "./latency.js";
import { follow } from "./live.js";
import * as overview from "./overview.js";
import * as panels from "./panels.js";
import * as recent from "./recent.js";
import * as river from "./river.js";
import * as tryit from "./tryit.js";
import * as tuning from "./tuning.js";
import * as usage from "./usage.js";

for (const part of [overview, river, usage, latency, tryit, clear]) part.setUp();
for (const node of document.querySelectorAll(".origin")) node.textContent = api.HERE.href.replace(/\/$/, "");

const restart = follow(
  (state) => {
    $("demo").hidden = !state.demo;
    for (const part of [overview, river, latency, panels, tuning, recent, tryit, usage]) part.show(state);
  },
  (status, text) => {
    $("status").dataset.status = status;
    say($("status-text"), text);
  },
);
api.setUp(restart);
