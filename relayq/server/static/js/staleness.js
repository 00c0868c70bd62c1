// Says how fresh the page is, and greys it when the link or the broker is away: old data is never shown as fresh.

import { h } from "./dom.js";
import { icon } from "./icons.js";
import { link, on } from "./live.js";
import { duration } from "./time.js";

const WORDS = { connecting: "connecting", live: "live", stale: "stale", trouble: "no broker" };

/** Keep the dot in the header and the banner true. */
export function staleness() {
  const dot = document.getElementById("link");
  const banner = document.getElementById("banner");
  let told = "";
  const draw = () => {
    const age = (Date.now() - link.freshAt) / 1000;
    const old = link.state === "stale" || link.state === "trouble" || (link.state === "connecting" && link.overview);
    document.body.dataset.link = old && link.state === "connecting" ? "stale" : link.state;
    dot.textContent = old ? `stale since ${duration(Math.floor(age))}`.replace(".0 s", " s") : WORDS[link.state];
    if (told === link.state + link.trouble) return;
    told = link.state + link.trouble;
    const explained = old && link.state !== "connecting";
    banner.replaceChildren(...(explained ? [icon("alert"), h("p", {}, ...sentence())] : []));
    banner.hidden = !explained;
  };
  on("link", draw);
  setInterval(draw, 1000);
  draw();
}

function sentence() {
  if (link.state === "trouble") {
    const cause = link.trouble.charAt(0).toUpperCase() + link.trouble.slice(1).replace(/[.\s]+$/, "");
    return [h("strong", {}, "What you see is old. "), `${cause}. To find the cause, on the broker's machine: `, h("code", {}, "relayq doctor")];
  }
  return [h("strong", {}, "No connection to the server. "), "What you see is old. Trying again; if this stays, is it running? On the broker's machine: ", h("code", {}, "relayq server")];
}
