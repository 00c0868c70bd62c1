// The icons: strokes on a 16 × 16 grid, drawn for relayq. They are decoration; the word beside them says it.

import { svg } from "./dom.js";

const PATHS = {
  home: "M2.5 7.5 8 3l5.5 4.5M4 6.5V13h3V9.5h2V13h3V6.5",
  jobs: "M5.5 4h8M5.5 8h8M5.5 12h8M2.5 4h.01M2.5 8h.01M2.5 12h.01",
  submit: "M8 3v10M3 8h10",
  machine: "M2.5 3.5h11v7h-11zM6 13h4M8 10.5V13",
  add: "M2.5 3.5h11v7h-11zM6 13h4M8 10.5V13M8 5.2v3.6M6.2 7h3.6",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M10.5 10.5 13.5 13.5",
  run: "M5 3.5 12 8l-7 4.5z",
  wait: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11M8 5v3.2l2 1.3",
  check: "M3 8.5 6.5 12 13 4.5",
  cross: "M4 4l8 8M12 4l-8 8",
  slash: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11M4.2 4.2l7.6 7.6",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  drain: "M8 2.5v7M5 7l3 3 3-3M3 13h10",
  online: "M8 4.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7",
  busy: "M9 2 4 9h3.5L7 14l5-7H8.5z",
  lost: "M2.5 6.5a8 8 0 0 1 11 0M5 9a4.5 4.5 0 0 1 6 0M8 12h.01M3 2.5l10 11",
  offline: "M8 2.5v5M5 4.3a5 5 0 1 0 6 0",
  shield: "M8 2.5 13 4.5V8c0 3-2.2 4.8-5 5.5C5.2 12.8 3 11 3 8V4.5zM8 5.5v3M8 10.8h.01",
  update: "M8 13.5v-8M5 8l3-3 3 3M4 2.5h8",
  hand: "M3 8h10M3 5h10M3 11h6",
  alert: "M8 2.5 14 13H2zM8 6.5v3M8 11.3h.01",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  download: "M8 2.5v8M5 7.5l3 3 3-3M3 13.5h10",
  sun: "M8 5.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5M8 1.5v1.5M8 13v1.5M1.5 8H3M13 8h1.5M3.4 3.4l1 1M11.6 11.6l1 1M3.4 12.6l1-1M11.6 4.4l1-1",
  help: "M5.8 6a2.3 2.3 0 1 1 3.4 2c-.8.450-1.2.9-1.2 1.7M8 12.3h.01",
  again: "M12.8 5.5A5.3 5.3 0 1 0 13.3 9M13 2.5v3.2H9.8",
  elsewhere: "M3 5h8.5L9 2.5M13 11H4.5L7 13.5",
  down: "M4 6l4 4 4-4",
  up: "M4 10l4-4 4 4",
  heat: "M6.5 9V3.5a1.5 1.5 0 0 1 3 0V9a3 3 0 1 1-3 0",
  test: "M6 2.5v4L3 13h10l-3-6.5v-4M5 2.5h6",
  leave: "M6.5 3H3v10h3.5M7 8h6.5M11 5.5 13.5 8 11 10.5",
};

/** An icon by name. */
export function icon(name) {
  const path = svg("path", { d: PATHS[name] ?? PATHS.online });
  return svg("svg", { class: `icon icon-${name}`, viewBox: "0 0 16 16", "aria-hidden": "true" }, path);
}
