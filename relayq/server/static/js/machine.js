// One machine: its card, what it runs now, and what it ran last.

import { get } from "./api.js";
import { h } from "./dom.js";
import { link, on } from "./live.js";
import { machineCard } from "./machines.js";
import { endedRow, jobList, runningRow } from "./rows.js";
import { button, empty, section } from "./ui.js";

/** The page, by the machine's name. */
export function machine({ go, refresh, name }) {
  let last = null;
  let known = "";
  let over = false;
  const load = async () => {
    last = await get(`/jobs?worker=${encodeURIComponent(name)}&limit=20`).catch(() => last);
    if (!over) refresh();
  };
  const stop = on("overview", (seen) => {
    const ended = JSON.stringify(seen.last.filter((job) => job.worker === name).map((job) => job.id));
    if (known && ended !== known) load();
    known = ended;
  });
  return {
    title: name,
    opened: load,
    close() {
      over = true;
      stop();
    },
    view() {
      const seen = link.overview;
      if (!seen) return h("div", { class: "skeleton" }, h("div"), h("div"));
      const found = seen.machines.find((it) => it.name === name);
      if (!found) return empty("There is no such machine", name, h("p", {}, button("All machines", () => go("/"), { glyph: "home" })));
      const running = seen.running.filter((job) => job.worker === name);
      const ended = (last?.jobs ?? []).filter((job) => job.ended_at);
      return [
        machineCard(found, "h1"),
        section("Running", running.length, running.length ? jobList(running, runningRow, "Running") : h("p", { class: "none" }, "Nothing runs here."), h("a", { href: `/submit?on=${encodeURIComponent(name)}` }, "Submit here")),
        section("Last here", null, ended.length ? jobList(ended, endedRow, "Last here") : h("p", { class: "none" }, "Nothing has ended here yet."), h("a", { href: `/jobs?worker=${encodeURIComponent(name)}` }, "History")),
      ];
    },
  };
}
