// The keyboard: `/` searches, `g` and a letter goes somewhere, `?` says so.

import { h } from "./dom.js";

const PLACES = { h: ["/", "home"], j: ["/jobs", "jobs"], s: ["/submit", "submit a job"], a: ["/add", "add a machine"] };

/** Listen. */
export function keys(go) {
  let pending = 0;
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || document.querySelector("dialog[open]")) return;
    const second = Date.now() - pending < 1500 && PLACES[event.key];
    pending = 0;
    if (second) go(second[0]);
    else if (event.key === "g") pending = Date.now();
    else if (event.key === "?") help();
    else if (event.key === "/") search(go);
    else return;
    event.preventDefault();
  });
  document.getElementById("help").addEventListener("click", help);
}

function typing(target) {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

function search(go) {
  if (!document.querySelector("[data-search]")) go("/jobs");
  const field = document.querySelector("[data-search]");
  field?.focus();
  field?.select?.();
}

function help() {
  const key = (...names) => h("dt", {}, names.map((name) => h("kbd", {}, name)));
  const places = Object.entries(PLACES).flatMap(([letter, [, name]]) => [key("g", letter), h("dd", {}, name)]);
  const list = h("dl", { class: "keys" }, key("/"), h("dd", {}, "search (on a job's page: its log)"), places, key("n"), h("dd", {}, "in a log: next match"), key("?"), h("dd", {}, "this"));
  const form = h("form", { method: "dialog" }, h("h2", { id: "help-title" }, "Keyboard"), list, h("div", { class: "dialog-foot" }, h("button", { class: "button primary" }, "Close")));
  const dialog = h("dialog", { "aria-labelledby": "help-title" }, form);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
