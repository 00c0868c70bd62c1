// The live link: one stream of server-sent events, which is reopened when it breaks, and how old the data is.

import { address, get, toLogin } from "./api.js";
import { setClock } from "./time.js";

const SILENCE = 9000; // ms without an overview (they come every 2 s) until the data counts as stale
const HIDDEN = 5000; // ms out of sight until the stream is let go: browsers allow six to a server
const PATIENCE = [500, 1000, 2000, 4000, 8000]; // ms before each next try

/** "connecting", "live", "stale" (no word from the server) or "trouble" (the server has no broker). */
export const link = { state: "connecting", overview: null, freshAt: Date.now(), trouble: "" };

const listeners = { overview: new Set(), job: new Set(), output: new Set(), link: new Set() };
let source = null;
let tries = 0;
let timer = 0;
let watching = null; // the id of the job that is looked at

/** Hear of "overview", "job", "output" or "link"; answers how to stop that. */
export function on(kind, act) {
  listeners[kind].add(act);
  return () => listeners[kind].delete(act);
}

/** Follow a job as well, by its id, or none (null). The stream is opened anew, and tells its output from the start. */
export function watch(job) {
  if (!job && !watching && source) return;
  watching = job;
  open();
}

/** Start to listen, and to watch over the link. */
export function start() {
  open();
  setInterval(() => {
    if (link.state === "live" && Date.now() - link.freshAt > SILENCE) lost();
  }, 500);
  addEventListener("online", open);
  let leaving = 0;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(leaving);
    if (document.hidden) leaving = setTimeout(leave, HIDDEN);
    else if (!source || link.state !== "live") open();
  });
}

function open() {
  clearTimeout(timer);
  source?.close();
  const query = watching ? `?job=${encodeURIComponent(watching)}` : "";
  const mine = new EventSource(address("/events") + query);
  source = mine;
  const hear = (kind, act) =>
    mine.addEventListener(kind, (event) => {
      if (mine !== source) return;
      tries = 0;
      act(event.data ? JSON.parse(event.data) : {});
    });
  hear("overview", (data) => {
    setClock(data.now);
    if (data.broker?.online === false) return set("trouble", data.broker.error); // it knows nothing: what we saw stays
    link.overview = data;
    link.freshAt = Date.now();
    set("live");
    tell("overview", data);
  });
  hear("trouble", (data) => set("trouble", data.error));
  hear("job", (data) => tell("job", data));
  hear("output", (data) => tell("output", data));
  mine.onerror = () => mine === source && lost();
}

function leave() {
  source?.close();
  source = null;
  clearTimeout(timer);
  set("connecting"); // nobody looks; whoever looks again sees when this was
}

function lost() {
  source?.close();
  if (link.state !== "trouble") set("stale");
  clearTimeout(timer);
  timer = setTimeout(reopen, PATIENCE[Math.min(tries++, PATIENCE.length - 1)]);
}

async function reopen() {
  try {
    await get("/session"); // an EventSource does not say why it failed: this does
    open();
  } catch (refusal) {
    if (refusal.status === 401) toLogin();
    else lost();
  }
}

function set(state, trouble = "") {
  if (state === link.state && trouble === link.trouble) return;
  link.state = state;
  link.trouble = trouble;
  tell("link", link);
}

function tell(kind, data) {
  for (const act of [...listeners[kind]]) act(data);
}
