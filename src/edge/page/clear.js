// Clears the cache: first a dry run that counts, then, once confirmed, the real one.

import { Denied, json } from "./api.js";
import { $, say } from "./dom.js";
import { plural } from "./format.js";

let turn = 0;

export function setUp() {
  const dialog = $("clear-dialog");
  $("clear-open").addEventListener("click", () => {
    $("clear-form").reset();
    say($("clear-cancel"), "Keep all");
    $("clear-go").hidden = false;
    dialog.showModal();
    countThem();
  });
  $("clear-cancel").addEventListener("click", () => dialog.close());
  for (const name of ["clear-model", "clear-age"]) $(name).addEventListener("input", countThem);
  $("clear-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!$("clear-go").disabled) clearThem();
  });
}

function path(isDryRun) {
  const query = new URLSearchParams();
  const [model, age] = [$("clear-model").value.trim(), $("clear-age").value.trim()];
  if (model) query.set("model", model);
  if (age) query.set("older_than", age);
  if (isDryRun) query.set("dry_run", "true");
  return `api/clear-cache?${query}`;
}

async function countThem() {
  const own = (turn += 1);
  $("clear-go").disabled = true;
  say($("clear-go"), "Clear");
  say($("clear-count"), "Counting …");
  try {
    const { cleared, redis } = await json(path(true), { method: "POST" });
    // Only the count for what the form says now may open the button.
    if (own !== turn) return;
    say($("clear-count"), cleared || redis
      ? `This would clear ${plural(cleared, "answer")}.${redis ? ` Redis: ${redis}.` : ""}`
      : "There is nothing to clear.");
    say($("clear-go"), cleared ? `Clear ${plural(cleared, "answer")}` : "Clear");
    $("clear-go").disabled = !(cleared || redis);
  } catch (error) {
    if (own === turn) say($("clear-count"), said(error));
  }
}

async function clearThem() {
  turn += 1;
  $("clear-go").disabled = true;
  try {
    const { cleared, redis } = await json(path(false), { method: "POST" });
    say($("clear-count"), `${plural(cleared, "answer")} cleared.${redis ? ` Redis: ${redis}.` : ""}`);
    $("clear-go").hidden = true;
    say($("clear-cancel"), "Close");
    $("clear-cancel").focus();
  } catch (error) {
    say($("clear-count"), said(error));
  }
}

const said = (error) => (error instanceof Denied ? "This needs the admin token." : `That did not work: ${error.message}.`);
