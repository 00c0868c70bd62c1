// The login: a token in, a cookie out, and back to where the visitor wanted to go.

const form = document.getElementById("login");
const refusal = document.getElementById("refusal");

if (new URLSearchParams(location.search).has("code")) refusal.textContent = "This link is used up or too old. Make another on the broker's machine: relayq dashboard";

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  refusal.textContent = "";
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const body = JSON.stringify({ token: new FormData(form).get("token").trim() });
    const answer = await fetch("/login", { method: "POST", headers: { "Content-Type": "application/json", Accept: "application/json" }, body });
    if (answer.ok) return location.assign(wanted());
    const data = await answer.json().catch(() => ({}));
    refusal.textContent = data.error ?? `The server answered ${answer.status}.`;
  } catch {
    refusal.textContent = "The server does not answer. Is it running? On the broker's machine: relayq server";
  } finally {
    button.disabled = false;
  }
});

// Only a path of ours: a link must not lead elsewhere by way of the login.
function wanted() {
  const next = new URLSearchParams(location.search).get("next") ?? "/";
  try {
    const url = new URL(next, location.origin);
    return url.origin === location.origin && next.startsWith("/") ? url.pathname + url.search : "/";
  } catch {
    return "/";
  }
}
