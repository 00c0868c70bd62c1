// Instants and lengths of time for people, by the store's clock: the browser's may be wrong.

import { h } from "./dom.js";

let offset = 0; // seconds the store's clock is ahead of ours

/** Hear what time the store has. */
export function setClock(now) {
  offset = now - Date.now() / 1000;
}

/** Seconds since the epoch, by the store's clock. */
export function now() {
  return Date.now() / 1000 + offset;
}

/** 30 ms, 0.4 s, 12 s, 3 min, 2 h 5 min, 3 d. */
export function duration(seconds) {
  if (seconds > 0 && seconds < 0.095) return `${Math.ceil(seconds * 1000)} ms`;
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.floor(minutes / 1440)} d`;
}

/** The time of day, with the date if that is not today's. */
export function clockTime(at) {
  const date = new Date(at * 1000);
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
  return date.toDateString() === new Date().toDateString() ? time : `${isoDay(date)} ${time}`;
}

/** The whole instant, for tooltips and tables. */
export function instant(at) {
  const date = new Date(at * 1000);
  return `${isoDay(date)} ${date.toLocaleTimeString([], { hour12: false })}`;
}

function isoDay(date) {
  const two = (number) => String(number).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

const KINDS = {
  elapsed: (at) => (now() - at < 10 ? `${Math.max(0, Math.floor(now() - at))} s` : duration(now() - at)),
  ago: (at) => (now() - at < 5 ? "just now" : `${duration(Math.floor(now() - at))} ago`),
  left: (at) => (at - now() <= 0 ? "over" : duration(Math.ceil(at - now()))),
};

/** An element that goes on saying how long something has lasted ("elapsed"), is "ago", or is "left". */
export function ticking(kind, at) {
  return h("time", { class: "tick", "data-kind": kind, "data-at": at, title: instant(at) }, KINDS[kind](at));
}

/** Let the clocks go on. Not called while the data is stale: old data must not look fresh. */
export function tick(root = document) {
  for (const element of root.querySelectorAll("time.tick")) {
    const text = KINDS[element.dataset.kind](Number(element.dataset.at));
    if (element.textContent !== text) element.textContent = text;
  }
}
