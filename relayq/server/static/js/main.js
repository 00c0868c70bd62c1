// The dashboard: which page an address is, and the frame around it. Pages are functions of what is known.

import { add } from "./add.js";
import { logOut, openSession, session } from "./api.js";
import { h, morphInto } from "./dom.js";
import { history } from "./history.js";
import { home } from "./home.js";
import { job } from "./job.js";
import { keys } from "./keys.js";
import { link, on, start, watch } from "./live.js";
import { machine } from "./machine.js";
import { staleness } from "./staleness.js";
import { submit } from "./submit.js";
import { tick } from "./time.js";
import { button, empty, notice } from "./ui.js";

const ROUTES = [
  [/^\/$/, home],
  [/^\/jobs$/, history],
  [/^\/jobs\/([^/]+)$/, job],
  [/^\/submit$/, submit],
  [/^\/machines\/([^/]+)$/, machine],
  [/^\/add$/, add],
];

const root = document.getElementById("page");
let page = null;
let drawn = false;

/** Go to an address of ours. */
export function go(path, { replace = false } = {}) {
  window.history[replace ? "replaceState" : "pushState"](null, "", path);
  show();
}

function show() {
  page?.close?.();
  const found = ROUTES.map(([pattern, make]) => [pattern.exec(location.pathname), make]).find(([match]) => match);
  const context = { go, refresh, query: new URLSearchParams(location.search), name: found && part(found[0][1]) };
  root.replaceChildren();
  page = found ? found[1](context) : missing;
  watch(page.follows ?? null);
  document.title = `${page.title} · relayq`;
  for (const anchor of document.querySelectorAll("[data-nav]")) {
    const here = anchor.dataset.nav === "/" ? location.pathname === "/" : location.pathname.startsWith(anchor.dataset.nav);
    if (here) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  refresh();
  scrollTo(0, 0);
  if (drawn) root.focus({ preventScroll: true });
  drawn = true;
  page.opened?.();
}

function part(text) {
  try {
    return text === undefined ? null : decodeURIComponent(text);
  } catch {
    return text;
  }
}

const missing = {
  title: "Not here",
  view: () => empty("There is no such page", location.pathname, h("p", {}, button("Home", () => go("/"), { glyph: "home" }))),
};

/** Draw the page as things are now. */
function refresh() {
  if (!page || document.hidden) return;
  const next = h("main", {}, page.view());
  morphInto(root, next);
  tick(root);
}

document.addEventListener("click", (event) => {
  const anchor = event.target.closest("a[href]");
  const ours = anchor && anchor.origin === location.origin && !anchor.hasAttribute("download") && !anchor.target;
  if (!ours || event.button || event.metaKey || event.ctrlKey || event.shiftKey || anchor.pathname.startsWith("/api/")) return;
  if (anchor.hash && anchor.pathname === location.pathname) return;
  event.preventDefault();
  go(anchor.pathname + anchor.search);
});

document.getElementById("logout").addEventListener("click", logOut);

async function boot() {
  try {
    await openSession();
  } catch (refusal) {
    if (refusal.status === 401) return;
    notice(refusal.message, "fail");
  }
  document.body.classList.toggle("read-only", session.read_only);
  document.getElementById("version").textContent = session.version ? `relayq ${session.version}` : "";
  staleness(refresh);
  keys(go);
  addEventListener("popstate", show);
  document.addEventListener("visibilitychange", refresh);
  for (const kind of ["overview", "link"]) on(kind, refresh);
  setInterval(() => link.state === "live" && tick(), 1000);
  show();
  start();
}

boot();
