// The lines that teach: what stands where no machine or no job is yet.

import { h } from "./dom.js";
import { button, empty, snippet } from "./ui.js";

const PYTHON = 'from relayq import job\nh = job.run("echo hello from $(hostname)")\nprint(h.get())';
const SHELL = "relayq run -- echo hello";

/** No machine has joined. */
export function noMachines(go) {
  return empty(
    "No machine yet",
    "A machine joins with one line, typed on it. It then stands here.",
    h("p", {}, button("Add a machine", () => go("/add"), { kind: "primary", glyph: "add" })),
    h("p", { class: "dim" }, "Or let this very computer work:"),
    snippet("relayq worker", "start a worker here"),
  );
}

/** Nothing has ever run. */
export function noJobs(go) {
  return empty(
    "No job yet",
    "Three lines of Python, from any of your machines:",
    snippet(PYTHON, "the first job in Python"),
    h("p", { class: "dim" }, "or one in a shell:"),
    snippet(SHELL, "the first job in a shell"),
    h("p", {}, button("Submit one here", () => go("/submit"), { glyph: "submit" })),
  );
}

/** Nothing fits the search. */
export function nothingFound(query, go) {
  return empty("Nothing found", `No job fits${query ? ` "${query}"` : " this"}.`, h("p", {}, button("Show all jobs", () => go("/jobs"), { glyph: "jobs" })));
}
