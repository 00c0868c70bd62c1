// A machine as a card: its state, its strain, what it can do, its last day, and the buttons.

import { post } from "./api.js";
import { h, lazy, svg } from "./dom.js";
import { icon } from "./icons.js";
import { machinePath } from "./rows.js";
import { machineState } from "./states.js";
import { clockTime } from "./time.js";
import { ask, badge, bar, button, field, notice } from "./ui.js";

/** The card. */
export function machineCard(machine, heading = "h3") {
  const shown = { ...machine, seen_at: 0, since: 0 }; // without what moves on by itself
  return lazy("article", `machine-${machine.name}`, shown, () => card(machine, heading));
}

function card(machine, heading) {
  const [glyph, tone] = machineState(machine.state);
  const name = h("a", { href: machinePath(machine.name) }, machine.name);
  return h(
    "article",
    { class: `machine ${machine.online ? "" : "away"} edge-${tone}`, key: `machine-${machine.name}`, "aria-label": machine.name },
    h("header", {}, h(heading, { class: "machine-name" }, name), badge(machine.state, glyph, tone)),
    h("p", { class: "machine-what" }, kindOf(machine)),
    why(machine),
    strain(machine),
    capabilities(machine, heading === "h1"),
    heartbeats(machine),
    h("footer", { class: "machine-do" }, actions(machine)),
  );
}

function kindOf(machine) {
  const parts = [machine.model, [machine.system, machine.arch].filter(Boolean).join(" "), machine.version && `relayq ${machine.version}`];
  const text = parts.filter(Boolean).join(" · ");
  return [text, machine.outdated ? badge("out of date", "update", "wait") : null];
}

function why(machine) {
  const sentences = [];
  if (machine.why) sentences.push(`${machine.name} ${machine.why}`);
  if (machine.throttled) sentences.push(machine.throttled);
  return sentences.map((text) => h("p", { class: "machine-why" }, icon("alert"), h("span", {}, text)));
}

function strain(machine) {
  const known = (value) => value !== null && value !== undefined;
  const meter = (label, value) =>
    known(value) ? h("div", { class: "meter" }, h("dt", {}, label), h("dd", {}, h("span", {}, `${Math.round(value * 100)} %`), bar(value, `${label} of ${machine.name}`, value > 0.9 ? "fail" : value > 0.75 ? "wait" : ""))) : null;
  const figure = (label, text, tone = "") => h("div", { class: `meter figure ${tone}` }, h("dt", {}, label), h("dd", {}, h("span", {}, text)));
  return h(
    "dl",
    { class: "strain" },
    h("div", { class: "meter" }, h("dt", {}, "Slots"), h("dd", {}, h("span", {}, `${machine.running} of ${machine.slots}`), slots(machine))),
    meter("CPU", machine.cpu),
    meter("Memory", machine.memory),
    meter("Disk", machine.disk),
    known(machine.load) ? figure("Load", machine.load.toFixed(2)) : null,
    known(machine.temperature) ? figure("Heat", `${Math.round(machine.temperature)} °C`, machine.temperature >= 80 ? "hot" : "") : null,
  );
}

function slots(machine) {
  if (machine.slots > 12) return bar(machine.running / machine.slots, `slots of ${machine.name}`, "run");
  const pip = (_, number) => h("span", { class: number < machine.running ? "pip used" : "pip" });
  return h("span", { class: "pips", "aria-hidden": "true" }, Array.from({ length: machine.slots }, pip));
}

function capabilities(machine, whole) {
  const found = machine.capabilities ?? [];
  const working = found.filter((it) => it.works !== false);
  const broken = found.filter((it) => it.works === false);
  return [
    h("ul", { class: "chips", "aria-label": `what ${machine.name} offers` }, (machine.labels ?? []).map((label) => h("li", { class: "chip label" }, label)), working.map((it) => h("li", { class: "chip" }, named(it)))),
    broken.length
      ? h(
          "details",
          { class: "broken-chips", open: whole },
          h("summary", {}, `${broken.length} more found that ${broken.length === 1 ? "does" : "do"} not work here`),
          h("ul", { class: "chips", "aria-label": `what does not work on ${machine.name}` }, broken.map((it) => h("li", { class: "chip broken" }, h("s", {}, named(it)), h("span", { class: "chip-why" }, it.why_not ?? "its test failed")))),
        )
      : null,
  ];
}

// encoder:libx264 with its kind less loud than its name.
function named({ name, version }) {
  const [, kind, rest] = /^(?:([^:]+:))?(.*)$/.exec(name);
  return [h("span", {}, kind ? h("span", { class: "chip-version" }, kind) : null, rest), version ? [" ", h("span", { class: "chip-version" }, version)] : null];
}

/** The last 24 hours in quarter hours, as one drawing. */
function heartbeats(machine) {
  const beats = machine.heartbeats ?? [];
  const first = beats.findIndex((beat) => beat !== null);
  if (first < 0) return null;
  const last = beats.length - 1;
  // The quarter hour it joined in and the one that goes on are no whole ones: they say only whether it was there.
  const whole = beats.slice(first + (first > 0 ? 1 : 0), last).filter((beat) => beat !== null);
  const kinds = { none: [], down: [], part: [], full: [] };
  beats.forEach((beat, at) => {
    const begun = (at === first && first > 0) || (at === last && machine.online);
    kinds[kindOfBeat(begun && beat > 0 ? 1 : beat)].push(`M${at * 4} 0h3v14h-3z`);
  });
  const up = Math.round((whole.reduce((sum, beat) => sum + beat, 0) / whole.length) * 100);
  const label = whole.length ? `${up} % there` : "joined just now";
  const paths = Object.entries(kinds).map(([kind, parts]) => svg("path", { class: `beat-${kind}`, d: parts.join("") || "M0 0" }));
  return h(
    "div",
    { class: "beats" },
    svg("svg", { viewBox: "0 0 383 14", preserveAspectRatio: "none", role: "img", "aria-label": `the last 24 hours of ${machine.name}: ${label}` }, paths),
    h("p", {}, h("span", {}, "24 h ago"), h("span", {}, label), h("span", {}, "now")),
  );
}

function kindOfBeat(beat) {
  if (beat === null) return "none";
  return beat >= 0.95 ? "full" : beat > 0.02 ? "part" : "down";
}

/** Pause, resume, drain, test. */
export function actions(machine) {
  const path = `/workers/${encodeURIComponent(machine.name)}`;
  const act = (verb, said) => async () => {
    await post(`${path}/${verb}`);
    notice(said, "ok");
  };
  const small = (label, glyph, verb, said) => button(label, act(verb, said), { kind: "small", glyph, writes: true, title: `${verb} ${machine.name}`, key: verb });
  const resting = machine.pause || machine.state.startsWith("quarantined");
  return [
    resting ? small("Resume", "run", "resume", `${machine.name} takes jobs again`) : button("Pause", () => pause(machine, path), { kind: "small", glyph: "pause", writes: true, title: `pause ${machine.name}`, key: "pause" }),
    machine.pause?.draining ? null : small("Drain", "drain", "drain", `${machine.name} finishes what it runs and takes nothing new`),
    machine.online ? small("Test", "test", "test", `${machine.name} is tested: see its jobs`) : null,
  ];
}

async function pause(machine, path) {
  const choice = (value, label, checked) => h("label", { class: "choice" }, h("input", { type: "radio", name: "for", value, checked }), h("span", {}, label));
  const fields = [
    h("p", {}, "What runs there goes on; it takes nothing new."),
    h("fieldset", {}, h("legend", {}, "For how long?"), choice("3600", "1 hour", true), choice("morning", "until tomorrow, 08:00", false), choice("", "until it is resumed", false)),
    field("Note (optional)", h("input", { type: "text", name: "note", maxlength: "200", placeholder: "I need it for a film" })),
  ];
  const answer = await ask(`Pause ${machine.name}`, fields, "Pause");
  if (!answer) return;
  const seconds = answer.for === "morning" ? untilMorning() : answer.for ? Number(answer.for) : null;
  await post(`${path}/pause`, { for: seconds, note: answer.note || null });
  notice(`${machine.name} is paused${seconds ? ` until ${clockTime(Date.now() / 1000 + seconds)}` : ""}`, "ok");
}

function untilMorning() {
  const morning = new Date();
  morning.setDate(morning.getDate() + 1);
  morning.setHours(8, 0, 0, 0);
  return Math.round((morning - Date.now()) / 1000);
}
