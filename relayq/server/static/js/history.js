// All jobs: a search whose every part stands in the address, page by page.

import { get } from "./api.js";
import { h } from "./dom.js";
import { link, on } from "./live.js";
import { historyRow, jobList } from "./rows.js";
import { noJobs, nothingFound } from "./teach.js";
import { empty, field } from "./ui.js";

const FIELDS = ["q", "state", "worker", "exit_code", "since", "until"];
const STATES = ["queued", "running", "succeeded", "failed", "cancelled"];
const EVERY = 2000; // ms between two looks at a first page that changes

/** The page. */
export function history({ go, refresh, query }) {
  const asked = Object.fromEntries(FIELDS.map((name) => [name, query.get(name) ?? ""]));
  const after = query.get("after");
  let seen = null;
  let trouble = null;
  let known = "";
  let looked = 0;
  let timer = 0;
  let over = false;

  async function load() {
    looked = Date.now();
    try {
      seen = await get(`/jobs?${search({ ...asked, since: instantOf(asked.since), until: instantOf(asked.until, 1), after, limit: 50 })}`);
      trouble = null;
    } catch (refusal) {
      trouble = refusal;
    }
    if (!over) refresh();
  }

  // A first page follows what happens, at its own pace.
  const stop = on("overview", ({ counts }) => {
    const now = JSON.stringify(counts);
    if (now === known || after) return;
    if (known) {
      clearTimeout(timer);
      timer = setTimeout(load, Math.max(0, looked + EVERY - Date.now()));
    }
    known = now;
  });

  const submit = (event) => {
    event.preventDefault();
    go(`/jobs${mark(search(Object.fromEntries(new FormData(event.currentTarget))))}`);
  };

  return {
    title: "Jobs",
    opened: load,
    close: () => {
      over = true;
      stop();
      clearTimeout(timer);
    },
    view: () => [h("h1", {}, "Jobs"), form(asked, submit), results(seen, trouble, asked, after, go)],
  };
}

function form(asked, submit) {
  const option = (value, label) => h("option", { value }, label);
  const select = (name, label, options) => {
    const element = h("select", { name }, options);
    element.value = asked[name];
    element.onchange = (event) => event.target.form.requestSubmit();
    return field(label, element);
  };
  const names = (link.overview?.machines ?? []).map((machine) => machine.name);
  if (asked.worker && !names.includes(asked.worker)) names.push(asked.worker);
  const day = (name, label) => field(label, h("input", { type: "date", name, value: asked[name], on: { change: (event) => event.target.form.requestSubmit() } }), null, "rest");
  return h(
    "form",
    { class: `filters ${["exit_code", "since", "until"].some((name) => asked[name]) ? "open" : ""}`, role: "search", "data-keep": names.length ? true : null, on: { submit } },
    field("Text", h("input", { type: "search", name: "q", value: asked.q, placeholder: "command, name or id", "data-search": true, spellcheck: "false" }), null, "grow"),
    select("state", "State", [option("", "any"), ...STATES.map((state) => option(state, state === "queued" ? "waiting" : state))]),
    select("worker", "Machine", [option("", "any"), ...names.map((name) => option(name, name))]),
    field("Exit code", h("input", { type: "text", inputmode: "numeric", pattern: "[0-9]{1,3}", name: "exit_code", value: asked.exit_code, placeholder: "any" }), null, "short rest"),
    day("since", "From"),
    day("until", "To"),
    h("button", { class: "button more", type: "button", on: { click: (event) => event.target.form.classList.add("open") } }, "More"),
    h("button", { class: "button primary", type: "submit" }, "Search"),
  );
}

function results(seen, trouble, asked, after, go) {
  if (trouble) return empty("This cannot be shown", trouble.message);
  if (!seen) return h("div", { class: "skeleton" }, h("div"), h("div"));
  const filtered = FIELDS.some((name) => asked[name]);
  if (!seen.jobs.length) return filtered || after ? nothingFound(asked.q, go) : noJobs(go);
  const page = (label, path) => h("a", { class: "button", href: path }, label);
  return [
    h("div", { class: "job history head", "aria-hidden": "true" }, ["Job", "State", "Machine", "Took", "Submitted"].map((name) => h("span", {}, name))),
    jobList(seen.jobs, historyRow, "Jobs"),
    h(
      "nav",
      { class: "pager", "aria-label": "pages" },
      after ? page("Newest", `/jobs${mark(search(asked))}`) : null,
      seen.next ? page("Older", `/jobs${mark(search({ ...asked, after: seen.next }))}`) : h("span", { class: "dim" }, "That is all."),
    ),
  ];
}

function search(fields) {
  const kept = Object.entries(fields).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return new URLSearchParams(kept).toString();
}

function mark(text) {
  return text ? `?${text}` : "";
}

// A day of the form as seconds since the epoch: its start here, or (days = 1) its end.
function instantOf(day, days = 0) {
  if (!/^\d{4}-\d\d-\d\d$/.test(day)) return day;
  const date = new Date(`${day}T00:00:00`);
  date.setDate(date.getDate() + days);
  return String(date.getTime() / 1000);
}
