// Adding a machine: the line to type there, how long it is good for, and green when the machine has joined.

import { post, session } from "./api.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { link } from "./live.js";
import { machineCard } from "./machines.js";
import { now, ticking } from "./time.js";
import { empty, field, section, snippet } from "./ui.js";

/** The page. */
export function add({ refresh }) {
  let offer = null; // {line, expires_at}
  let before = new Set(); // machines there were when the line was made: name and since when
  let refusal = "";

  const ask = async (event) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    refusal = "";
    try {
      const labels = data.get("labels").split(/[\s,]+/).filter(Boolean);
      offer = await post("/joining", { name: data.get("name").trim() || null, labels });
      before = new Set(online());
    } catch (error) {
      refusal = error.message;
    }
    refresh();
  };

  return {
    title: "Add a machine",
    view() {
      const joined = offer ? (link.overview?.machines ?? []).filter((it) => it.online && !before.has(it.name)) : [];
      return [h("h1", {}, "Add a machine"), form(ask, refusal), offer ? line(offer, joined) : steps()];
    },
  };
}

function online() {
  return (link.overview?.machines ?? []).filter((it) => it.online).map((it) => it.name);
}

function form(ask, refusal) {
  const text = (name, placeholder) => h("input", { type: "text", name, placeholder, autocomplete: "off", autocapitalize: "off" });
  return h(
    "form",
    { class: "submit", on: { submit: ask } },
    h(
      "div",
      { class: "fields", "data-keep": true },
      field("Name (optional)", text("name", "mac-mini"), "Else its host name"),
      field("Labels (optional)", text("labels", "heavy"), "mac and rpi come by themselves"),
    ),
    h("p", { class: "refusal", role: "alert" }, refusal),
    h("div", { class: "buttons" }, h("button", { class: "button primary", type: "submit", disabled: session.read_only }, icon("add"), h("span", {}, "Make the line"))),
  );
}

function steps() {
  return empty("One line, typed on the machine", "It works once and for an hour. The machine gets a user of its own at the broker, and what it can do is found out and tested.");
}

function line(offer, joined) {
  const waiting = joined.length
    ? h("p", { class: "joined tone-ok", role: "status" }, icon("check"), `${joined.map((it) => it.name).join(" and ")} ${joined.length === 1 ? "has" : "have"} joined.`)
    : now() > offer.expires_at
      ? h("p", { class: "joining", role: "status" }, icon("alert"), "This line is too old by now: make another.")
      : h("p", { class: "joining", role: "status" }, h("span", { class: "pulse", "aria-hidden": "true" }), "Waiting for it to join; the line is good for ", ticking("left", offer.expires_at), ".");
  return section("Type this there", null, [h("div", { class: joined.length ? "offer done" : "offer" }, snippet(offer.line, "the line to join"), waiting), joined.map((it) => machineCard(it))]);
}
