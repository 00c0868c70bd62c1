// The home page: how things are as one sentence, the machines, and what runs, waits and has ended.

import { h } from "./dom.js";
import { link } from "./live.js";
import { machineCard } from "./machines.js";
import { endedRow, jobList, runningRow, waitingRow } from "./rows.js";
import { noJobs, noMachines } from "./teach.js";
import { section } from "./ui.js";

const SHOWN = 50; // rows of a list; the rest is in the history

/** The page. */
export function home({ go }) {
  return {
    title: "Home",
    view() {
      const seen = link.overview;
      if (!seen) return skeleton();
      return [h("h1", { class: "sentence" }, unbroken(seen.sentence)), machines(seen, go), jobs(seen, go)];
    },
  };
}

// A name with a hyphen is one word, also at the end of a line.
function unbroken(sentence) {
  return sentence.split(/(\S*-\S*)/).map((part, at) => (at % 2 && part.length < 24 ? h("span", { class: "unbroken" }, part) : part));
}

function machines(seen, go) {
  const content = seen.machines.length ? h("div", { class: "machines" }, seen.machines.map((machine) => machineCard(machine))) : noMachines(go);
  return section("Machines", seen.machines.length || null, content, seen.machines.length ? h("a", { href: "/add" }, "Add a machine") : null);
}

function jobs(seen, go) {
  const total = Object.values(seen.counts).reduce((sum, count) => sum + count, 0);
  if (!total) return section("Jobs", null, noJobs(go));
  const list = (title, state, rows, row, none) => {
    const count = seen.counts[state] ?? rows.length;
    const more = count > Math.min(rows.length, SHOWN) ? h("a", { href: `/jobs?state=${state}` }, "Show all") : null;
    return section(title, count, rows.length ? jobList(rows.slice(0, SHOWN), row, title) : h("p", { class: "none" }, none), more);
  };
  return h(
    "div",
    { class: "columns" },
    h(
      "div",
      {},
      list("Running", "running", seen.running, runningRow, "Nothing runs right now."),
      list("Waiting", "queued", seen.waiting, waitingRow, "Nothing waits: what is submitted starts at once."),
    ),
    section("Last finished", null, seen.last.length ? jobList(seen.last, endedRow, "Last finished") : h("p", { class: "none" }, "Nothing has finished yet."), h("a", { href: "/jobs" }, "History")),
  );
}

function skeleton() {
  return h("div", { class: "skeleton", role: "status" }, h("span", { class: "visually-hidden" }, "Loading"), h("div"), h("div"), h("div"));
}
