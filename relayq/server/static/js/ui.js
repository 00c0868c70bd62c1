// Small pieces every page uses: buttons, dialogs, notices, copying, chips and bars.

import { session } from "./api.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";

/** A button. `act` may be async; while it runs the button is off, and what it throws is shown. */
export function button(label, act, { kind = "", glyph = "", title = "", writes = false, key = null } = {}) {
  const off = writes && session.read_only;
  const click = async (event) => {
    const self = event.currentTarget;
    if (self.ariaBusy === "true") return;
    self.ariaBusy = "true";
    try {
      await act(event);
    } catch (refusal) {
      notice(refusal.message, "fail");
    } finally {
      self.ariaBusy = "false";
    }
  };
  const hint = off ? "this session may only look" : title;
  const props = { type: "button", class: `button ${kind}`, title: hint || null, disabled: off, key, on: { click } };
  return h("button", props, glyph ? icon(glyph) : null, h("span", {}, label));
}

/** A sentence that appears for a while and is read out. */
export function notice(text, tone = "") {
  const item = h("div", { class: `notice ${tone}` }, h("span", {}, text));
  item.append(h("button", { type: "button", class: "plain", "aria-label": "dismiss", on: { click: () => item.remove() } }, icon("cross")));
  document.getElementById("notices").append(item);
  setTimeout(() => item.remove(), tone === "fail" ? 12000 : 5000);
}

/** A question in a dialog; resolves to its form's data, or null if it was closed. */
export function ask(title, fields, yes, tone = "primary") {
  return new Promise((resolve) => {
    const form = h(
      "form",
      { method: "dialog" },
      h("h2", { id: "dialog-title" }, title),
      fields,
      h(
        "div",
        { class: "dialog-foot" },
        h("button", { class: "button", value: "", formnovalidate: true }, "Back"),
        h("button", { class: `button ${tone}`, value: "yes" }, yes),
      ),
    );
    const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, form);
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes" ? Object.fromEntries(new FormData(form)) : null);
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
    (form.querySelector("input:not([type=radio]), textarea, select") ?? form.querySelector("button[value=yes]")).focus();
  });
}

/** A labelled field; its hint is a description, no part of its name. */
export function field(label, input, hint = null, kind = "") {
  const id = `field-${input.name}`;
  input.id = id;
  if (hint) input.setAttribute("aria-describedby", `${id}-hint`);
  return h("div", { class: `field ${kind}` }, h("label", { for: id }, label), input, hint ? h("small", { id: `${id}-hint` }, hint) : null);
}

/** Put text into the clipboard, also where the browser allows that only from a selection. */
export async function copy(text, what = "Copied") {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", { class: "visually-hidden", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  notice(what);
}

/** Text to copy, with its button. */
export function snippet(text, label) {
  return h(
    "div",
    { class: "snippet" },
    h("pre", { tabindex: "0", "aria-label": label }, h("code", {}, text)),
    button("Copy", () => copy(text, `${label}: copied`), { glyph: "copy", kind: "quiet" }),
  );
}

/** A word with an icon and a colour; never the colour alone. */
export function badge(word, glyph, tone) {
  return h("span", { class: `badge tone-${tone}` }, icon(glyph), h("span", {}, word));
}

/** A thin bar; `value` is 0 … 1. */
export function bar(value, label, tone = "") {
  const percent = Math.round(value * 100);
  const props = { class: `bar ${tone}`, role: "progressbar", "aria-label": label, "aria-valuenow": percent, "aria-valuemin": 0, "aria-valuemax": 100 };
  return h("span", { ...props, vars: { v: `${percent}%` } }, h("span", {}));
}

/** A section with its heading, a count and whatever stands at its right. */
export function section(title, count, children, aside = null) {
  const id = `section-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  const number = count === null ? null : h("span", { class: "count" }, String(count));
  return h(
    "section",
    { class: "section", "aria-labelledby": id, key: id },
    h("header", { class: "section-head" }, h("h2", { id }, title, number ? " " : null, number), aside),
    children,
  );
}

/** What stands where nothing is yet: it teaches the next step. */
export function empty(title, text, ...more) {
  return h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), text ? h("p", {}, text) : null, more);
}
