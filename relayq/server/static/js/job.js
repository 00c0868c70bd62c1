// One job: what it is, what became of it attempt by attempt, its log, and exactly what was asked.

import { address, get, post } from "./api.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { on } from "./live.js";
import { Log } from "./log.js";
import { cancelButton, jobPath, machinePath, progress, sentence, waysOut } from "./rows.js";
import { jobState } from "./states.js";
import { clockTime, duration, instant, ticking } from "./time.js";
import { badge, button, copy, empty, notice, section } from "./ui.js";

/** The page of a job, by its id. */
export function job({ go, refresh, name: id }) {
  const path = `/jobs/${encodeURIComponent(id)}`;
  let seen = null;
  let trouble = null;
  let chosen = null; // an earlier attempt that is looked at
  const log = new Log({ raw: (stream) => address(`${path}/output/raw?stream=${stream}${chosen ? `&attempt=${chosen}` : ""}`) });
  const stops = [
    on("job", (data) => data.id === id && take(data)),
    on("output", (data) => chosen === null && log.add(data)),
  ];

  function take(data) {
    seen = data;
    document.title = `${data.title} · relayq`;
    refresh();
  }

  async function choose(number) {
    const latest = seen.attempts_list.at(-1)?.number;
    chosen = number === latest ? null : number;
    log.clear(number);
    refresh();
    let after = 0;
    for (;;) {
      const output = await get(`${path}/output?attempt=${number}&after=${after}`);
      if (log.attempt !== number) return;
      log.add(output);
      if (!output.chunks.length || output.next === after) return;
      after = output.next;
    }
  }

  return {
    title: id,
    follows: id,
    opened: () =>
      get(path).then(take, (refusal) => {
        trouble = refusal;
        refresh();
      }),
    close: () => stops.forEach((stop) => stop()),
    view() {
      if (!seen && trouble) return missing(id, trouble, go);
      if (!seen) return h("div", { class: "skeleton" }, h("div"), h("div"));
      return [head(seen, go), attempts(seen, log, chosen, choose), log.place(), h("div", { class: "columns even" }, timeline(seen), asked(seen))];
    },
  };
}

function missing(id, trouble, go) {
  return [h("h1", { class: "mono" }, id), empty(trouble.status === 404 ? "There is no such job" : "This job cannot be shown", trouble.message, h("p", {}, button("All jobs", () => go("/jobs"), { glyph: "jobs" })))];
}

function head(seen, go) {
  const [word, glyph, tone] = jobState(seen);
  const facts = [
    seen.worker ? h("span", {}, "on ", h("a", { href: machinePath(seen.worker) }, seen.worker)) : null,
    seen.state === "running" ? h("span", {}, "for ", ticking("elapsed", seen.started_at)) : null,
    seen.ended_at && seen.started_at ? h("span", {}, `took ${duration(seen.ended_at - seen.started_at)}`) : null,
    h("span", {}, "submitted ", ticking("ago", seen.submitted_at)),
    seen.retry_of ? h("span", {}, "again from ", h("a", { class: "mono", href: jobPath(seen.retry_of) }, seen.retry_of)) : null,
  ];
  return h(
    "header",
    { class: "job-head" },
    h("div", { class: "job-head-state" }, badge(word, glyph, tone), h("span", { class: "mono dim" }, seen.id)),
    h("h1", { class: "mono" }, seen.title),
    h("p", { class: "facts" }, facts),
    saying(seen),
    seen.state === "running" ? h("div", { class: "job-progress wide" }, progress(seen), seen.note ? h("span", { class: "job-note" }, seen.note) : null) : null,
    h("div", { class: "buttons" }, buttons(seen, go)),
  );
}

function saying(seen) {
  const text = sentence(seen, seen.explained?.sentence) ?? seen.message;
  const machines = seen.state === "queued" ? Object.values(seen.explained?.machines ?? {}) : [];
  return [
    text ? h("p", { class: `saying tone-${jobState(seen)[2]}` }, text) : null,
    machines.length ? h("ul", { class: "machines-why" }, machines.map((text) => h("li", {}, text))) : null,
  ];
}

function buttons(seen, go) {
  const again = async () => {
    const { id } = await post(`/jobs/${encodeURIComponent(seen.id)}/rerun`);
    notice(`Submitted again as ${id}`, "ok");
    go(jobPath(id));
  };
  return [
    seen.state === "queued" ? waysOut(seen) : seen.state === "running" ? cancelButton(seen, "") : null,
    button("Run again", again, { glyph: "again", writes: true, key: "rerun" }),
    seen.as_cli ? button("Copy as command", () => copy(seen.as_cli, "Command line copied"), { glyph: "copy", title: seen.as_cli, key: "cli" }) : null,
    seen.as_python ? button("Copy as Python", () => copy(seen.as_python, "Python copied"), { glyph: "copy", title: seen.as_python, key: "python" }) : null,
  ];
}

function attempts(seen, log, chosen, choose) {
  const all = seen.attempts_list ?? [];
  if (all.length < 2) return h("h2", { class: "log-title" }, "Output");
  const current = chosen ?? all.at(-1).number;
  return h(
    "div",
    { class: "log-title" },
    h("h2", {}, "Output"),
    h("div", { class: "tabs", role: "group", "aria-label": "attempt" }, all.map((it) => h("button", { type: "button", class: "tab", "aria-pressed": String(it.number === current), on: { click: () => choose(it.number) } }, `Attempt ${it.number}`, it.worker ? h("span", { class: "dim" }, ` ${it.worker}`) : null))),
  );
}

const STEPS = { queued: "wait", claimed: "run", offered: "lost", lost: "lost", retried: "again", cancelling: "slash", ended: "online", succeeded: "check", failed: "cross", cancelled: "slash" };

function timeline(seen) {
  const steps = (seen.timeline ?? []).map((step) => {
    const what = step.what === "finished" ? seen.state : step.what;
    const glyph = STEPS[what] ?? "online";
    return h(
      "li",
      { class: `step step-${/^[a-z_]+$/.test(what) ? what : "other"}` },
      h("span", { class: "step-icon" }, icon(glyph)),
      h("div", {}, h("span", { class: "step-text" }, step.text ?? step.what), step.attempt && seen.attempts > 1 && !/attempt/.test(step.text) ? h("span", { class: "dim" }, ` (attempt ${step.attempt})`) : null),
      h("time", { title: instant(step.at) }, clockTime(step.at)),
    );
  });
  return section("Timeline", null, h("ol", { class: "timeline" }, steps));
}

const DEFAULTS = { kind: "command", retries: 0, retry_delay: 1, priority: 0, on_lost: "requeue", freeze: true, max_losses: 3, max_output_bytes: 1048576, kill_grace: 10 };
const NAMES = { cwd: "folder", env: "environment", on: "machine" };
const UNITS = { timeout: " s", queue_timeout: " s", retry_delay: " s", kill_grace: " s", max_output_bytes: " bytes" };

function asked(seen) {
  const known = Object.entries(seen.spec ?? {}).filter(([, value]) => value !== null && value !== "" && !(typeof value === "object" && !Object.keys(value).length));
  const said = known.filter(([name, value]) => DEFAULTS[name] !== value);
  const rest = known.filter(([name, value]) => DEFAULTS[name] === value);
  const rows = (entries) => entries.map(([name, value]) => h("div", { class: "spec-row" }, h("dt", {}, NAMES[name] ?? name.replaceAll("_", " ")), h("dd", { class: "mono" }, written(value), UNITS[name] ?? "")));
  return section("What was asked", null, h("div", { class: "spec" }, h("dl", {}, rows(said)), rest.length ? h("details", {}, h("summary", {}, "Left as it is by default"), h("dl", { class: "dim" }, rows(rest))) : null));
}

function written(value) {
  if (Array.isArray(value)) return value.map((it) => h("span", { class: "word" }, String(it)));
  if (typeof value === "object") return Object.entries(value).map(([key, it]) => h("div", {}, `${key}=${it}`));
  return String(value);
}
