// The HTTP API: every answer as data, every refusal as a sentence.

const PREFIX = "/api/v1";
const AWAY = "The server does not answer. Is it running? On the broker's machine: relayq server";

/** What we know of our own session: {version, csrf, read_only, broker}. */
export const session = { version: "", csrf: "", read_only: false, broker: "" };

/** A refusal, whose message says what to do; `status` is HTTP's, 0 where nobody answered. */
export class Refusal extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Read. Throws Refusal. */
export function get(path) {
  return ask("GET", path);
}

/** Change something. Throws Refusal. */
export function post(path, body = {}) {
  return ask("POST", path, body);
}

/** End our session, and leave for the login. */
export async function logOut() {
  await fetch("/logout", { method: "POST", headers: { "X-CSRF-Token": session.csrf ?? "" } }).catch(() => null);
  location.assign("/login");
}

/** The address of something under the API, for links and events. */
export function address(path) {
  return PREFIX + path;
}

/** Find out who we are; a visitor without a session is sent to the login. */
export async function openSession() {
  Object.assign(session, await get("/session"));
}

async function ask(method, path, body) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") Object.assign(headers, { "Content-Type": "application/json", "X-CSRF-Token": session.csrf ?? "" });
  let answer;
  try {
    answer = await fetch(PREFIX + path, { method, headers, body: body && JSON.stringify(body), cache: "no-store" });
  } catch {
    throw new Refusal(AWAY, 0);
  }
  if (answer.status === 401) toLogin();
  const data = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refusal(data.error ?? `The server answered ${answer.status}.`, answer.status);
  return data;
}

/** Leave for the login page, and come back here after it. */
export function toLogin() {
  const here = location.pathname + location.search;
  location.assign(here === "/" ? "/login" : `/login?next=${encodeURIComponent(here)}`);
}
