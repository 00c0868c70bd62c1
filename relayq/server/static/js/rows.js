// Jobs as rows: running with progress, waiting with the reason and the way out, ended with how.

import { post, session } from "./api.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { link } from "./live.js";
import { jobState } from "./states.js";
import { clockTime, duration, instant, ticking } from "./time.js";
import { ask, badge, bar, button, notice } from "./ui.js";

/** Where a job's page is. */
export function jobPath(id) {
  return `/jobs/${encodeURIComponent(id)}`;
}

/** Where a machine's page is. */
export function machinePath(name) {
  return `/machines/${encodeURIComponent(name)}`;
}

/** A list of rows. */
export function jobList(jobs, row, label) {
  return h("ul", { class: "jobs", "aria-label": label }, jobs.map((job) => h("li", { key: job.id }, row(job))));
}

/** A running job. */
export function runningRow(job) {
  return h(
    "article",
    { class: "job running" },
    title(job),
    h("div", { class: "job-line" }, where(job), job.attempts > 1 ? h("span", {}, `attempt ${job.attempts}`) : null, note(job)),
    h("div", { class: "job-progress" }, progress(job)),
    h("div", { class: "job-time" }, h("span", { class: "visually-hidden" }, "running for "), ticking("elapsed", job.started_at ?? job.submitted_at)),
    h("div", { class: "job-do" }, cancelButton(job)),
  );
}

function note(job) {
  const machine = link.overview?.machines.find((it) => it.name === job.worker);
  if (machine && !machine.online) return h("span", { class: "job-note warn" }, `${machine.name}: ${machine.state}`);
  return job.note ? h("span", { class: "job-note" }, job.note) : null;
}

const PLAINLY = / runs on \S+ for /; // says no more than the row does

/** A sentence about a job, where its name stands already; null if the rest of the row says it all. */
export function sentence(job, text) {
  if (!text || PLAINLY.test(text)) return null;
  return text.startsWith(`${job.id} `) ? capital(text.slice(job.id.length + 1)) : text;
}

/** How far a job is, and how long it will still take. */
export function progress(job) {
  if (job.progress === null || job.progress === undefined) return h("span", { class: "bar idle", "aria-hidden": "true" }, h("span", {}));
  const left = job.eta === null || job.eta === undefined ? "" : `${duration(job.eta)} left`;
  return [bar(job.progress, `progress of ${job.title}`, "run"), h("span", { class: "percent" }, `${Math.round(job.progress * 100)} %`), h("span", { class: "dim" }, left)];
}

/** A waiting job, why it waits, and what can be done about it. */
export function waitingRow(job) {
  return h(
    "article",
    { class: "job waiting" },
    title(job),
    h("p", { class: "job-line reason" }, sentence(job, job.explain) ?? "Waits"),
    h("div", { class: "job-time" }, h("span", { class: "visually-hidden" }, "waiting for "), ticking("elapsed", job.submitted_at)),
    h("div", { class: "job-do" }, waysOut(job)),
  );
}

/** The buttons a waiting job has. */
export function waysOut(job) {
  const ways = job.way_out?.length ? job.way_out : [{ verb: "cancel", label: "Cancel" }];
  return ways.map((way) => (way.verb === "cancel" ? cancelButton(job) : button(capital(way.label), () => takeWayOut(job, way), { kind: "small", glyph: way.verb === "resume" ? "run" : "elsewhere", writes: true, key: way.verb })));
}

async function takeWayOut(job, way) {
  const path = way.worker ? `/workers/${encodeURIComponent(way.worker)}/${way.verb}` : `/jobs/${encodeURIComponent(job.id)}/${way.verb}`;
  const answer = await post(path);
  notice(answer.id && answer.id !== job.id ? `Submitted again as ${answer.id}` : `${capital(way.label)}: done`, "ok");
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** An ended job. */
export function endedRow(job) {
  const [word, glyph, tone] = jobState(job);
  const took = job.started_at && job.ended_at ? duration(job.ended_at - job.started_at) : null;
  return h(
    "article",
    { class: "job ended" },
    title(job),
    h("div", { class: "job-line" }, badge(word, glyph, tone), where(job), took ? h("span", { class: "took" }, took) : null),
    h("div", { class: "job-time" }, job.ended_at ? ticking("ago", job.ended_at) : null),
  );
}

/** Any job, as history shows it. */
export function historyRow(job) {
  const [word, glyph, tone] = jobState(job);
  const took = job.started_at ? duration((job.ended_at ?? job.started_at) - job.started_at) : "";
  return h(
    "article",
    { class: "job history" },
    title(job),
    h("div", { class: "job-state" }, badge(word, glyph, tone)),
    h("div", { class: "job-where" }, job.worker ? where(job) : null),
    h("div", { class: "job-took" }, job.ended_at ? took : job.started_at ? ticking("elapsed", job.started_at) : ""),
    h("div", { class: "job-time" }, h("time", { title: `submitted ${instant(job.submitted_at)}` }, clockTime(job.submitted_at))),
  );
}

function title(job) {
  return h("a", { class: "job-title", href: jobPath(job.id), title: job.title }, job.title || job.id);
}

function where(job) {
  return job.worker ? h("a", { class: "job-worker", href: machinePath(job.worker) }, icon("machine"), job.worker) : null;
}

/** Cancel; what runs is asked about first. */
export function cancelButton(job, kind = "small") {
  return button("Cancel", () => cancel(job), { kind: `${kind} danger`, glyph: "cross", writes: true, title: `cancel ${job.title}`, key: "cancel" });
}

async function cancel(job) {
  if (session.read_only) return;
  if (job.state === "running") {
    const said = h("p", {}, "It is told to end, and is ended with everything it started if it does not.");
    if (!(await ask("Cancel this job?", [h("p", { class: "mono clip" }, job.title), said], "Cancel the job", "danger"))) return;
  }
  await post(`/jobs/${encodeURIComponent(job.id)}/cancel`);
  notice("Cancelled", "ok");
}
