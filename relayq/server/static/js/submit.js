// Submitting a job from the page.

import { post, session } from "./api.js";
import { h } from "./dom.js";
import { link } from "./live.js";
import { jobPath } from "./rows.js";
import { button, field, notice } from "./ui.js";

/** The page; ?on=NAME chooses the machine. */
export function submit({ go, query }) {
  const send = async (event) => {
    event.preventDefault();
    const form = event.currentTarget;
    const said = form.querySelector(".refusal");
    said.textContent = "";
    try {
      const { id } = await post("/jobs", asked(new FormData(form)));
      notice(`Submitted as ${id}`, "ok");
      go(jobPath(id));
    } catch (refusal) {
      said.textContent = refusal.message;
      said.focus();
    }
  };
  return {
    title: "Submit",
    view: () => [h("h1", {}, "Submit a job"), form(send, query)],
    opened: () => document.querySelector("[name=command]")?.focus(),
  };
}

function form(send, query) {
  const machines = link.overview?.machines ?? [];
  const offers = [...new Set(machines.flatMap((it) => [...(it.labels ?? []), ...(it.capabilities ?? []).filter((c) => c.works !== false).map((c) => c.name)]))].sort();
  const text = (name, props = {}) => h("input", { type: "text", name, autocomplete: "off", spellcheck: "false", ...props });
  const on = h("select", { name: "on" }, h("option", { value: "" }, "whichever fits"), machines.map((it) => h("option", { value: it.name }, it.online ? it.name : `${it.name} (${it.state})`)));
  on.value = query.get("on") ?? "";
  const sending = (event) => (event.key === "Enter" && (event.ctrlKey || event.metaKey) ? event.currentTarget.form.requestSubmit() : null);
  const element = h(
    "form",
    { class: "submit", "data-keep": link.overview ? true : null, on: { submit: send } },
    field("Command", h("textarea", { name: "command", rows: 4, required: true, class: "mono", spellcheck: "false", autocapitalize: "off", placeholder: "ffmpeg -i holiday.mov holiday.mp4", on: { keydown: sending } }), "Given to /bin/sh on the machine; paths are that machine's. Ctrl+Enter submits."),
    h("div", { class: "fields" }, field("Machine", on), field("Needs", text("needs", { placeholder: offers.slice(0, 3).join(" ") || "ffmpeg" }), offers.length ? `There is: ${offers.join(", ")}` : "Labels or capabilities"), field("Name", text("name", { placeholder: "shown instead of the command" }))),
    h(
      "details",
      {},
      h("summary", {}, "More"),
      h(
        "div",
        { class: "fields" },
        field("Folder", text("cwd", { placeholder: "~", class: "mono" }), "On the machine"),
        field("Timeout (s)", h("input", { type: "number", name: "timeout", min: "0", step: "any", placeholder: "none" })),
        field("Retries", h("input", { type: "number", name: "retries", min: "0", max: "100", placeholder: "0" }), "After a non-zero exit or a timeout"),
        field("Priority", h("input", { type: "number", name: "priority", min: "-10", max: "10", placeholder: "0" }), "−10 … 10, higher is sooner"),
        field("Prefer", text("prefer", { placeholder: "heavy" }), "If there is a choice"),
      ),
      field("Environment", h("textarea", { name: "env", rows: 3, class: "mono", spellcheck: "false", placeholder: "CC=clang" }), "One NAME=value a line; the values are not shown again"),
      field("Standard input", h("textarea", { name: "stdin", rows: 3, class: "mono", spellcheck: "false" })),
    ),
    h("p", { class: "refusal", role: "alert", tabindex: "-1" }),
    h("div", { class: "buttons" }, h("button", { class: "button primary", type: "submit", disabled: session.read_only, title: session.read_only ? "this session may only look" : null }, "Submit"), button("Clear", (event) => event.target.closest("form").reset(), { kind: "quiet" })),
  );
  return element;
}

function asked(data) {
  const words = (name) => data.get(name).split(/[\s,]+/).filter(Boolean);
  const number = (name) => (data.get(name) === "" ? undefined : Number(data.get(name)));
  const env = Object.fromEntries(
    data
      .get("env")
      .split("\n")
      .filter((line) => line.trim())
      .map((line) => [line.split("=", 1)[0].trim(), line.slice(line.indexOf("=") + 1)]),
  );
  const body = { command: data.get("command"), on: data.get("on"), name: data.get("name").trim(), cwd: data.get("cwd").trim(), stdin: data.get("stdin") };
  const lists = { needs: words("needs"), prefer: words("prefer") };
  const numbers = { timeout: number("timeout"), retries: number("retries"), priority: number("priority") };
  const said = Object.entries({ ...body, ...lists, ...numbers }).filter(([, value]) => value !== "" && value !== undefined && value.length !== 0);
  return { ...Object.fromEntries(said), ...(Object.keys(env).length ? { env } : {}) };
}
