// Elements from plain data, and one tree made like another. Text goes in as text: nothing here ever parses HTML.

const SVG = "http://www.w3.org/2000/svg";
const HANDLERS = ["onclick", "onsubmit", "onchange", "oninput", "onkeydown"];
const PROPERTIES = new Set(["value", "checked", "disabled", "selected"]);

/** An element: h("a", {href: "/"}, "home"). `on` takes handlers, `vars` CSS variables, `key` its identity in a list. */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function svg(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, act] of Object.entries(value)) element[`on${event}`] = act;
    else if (name === "vars") for (const [key, it] of Object.entries(value)) element.style.setProperty(`--${key}`, it);
    else if (name === "key") element.dataset.key = value;
    else if (PROPERTIES.has(name)) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An element that is only made (by `make`) if the one with its key was made from other data. */
export function lazy(tag, key, data, make) {
  const stub = h(tag, { key, "data-lazy": true });
  stub.from = JSON.stringify(data);
  stub.make = make;
  return stub;
}

function made(stub) {
  const element = stub.make();
  element.from = stub.from;
  return element;
}

/** Make the children of `from` like those of `to`, keeping focus, scrolling and whatever is marked data-keep. */
export function morphInto(from, to) {
  const keyed = new Map();
  for (const child of from.children) if (child.dataset.key) keyed.set(child.dataset.key, child);
  let at = from.firstChild;
  for (const next of [...to.childNodes]) {
    const match = partner(next, at, keyed);
    if (!match) {
      for (const stub of next.querySelectorAll?.("[data-lazy]") ?? []) stub.replaceWith(made(stub));
      from.insertBefore(next.make ? made(next) : next, at);
      continue;
    }
    if (match === at) at = at.nextSibling;
    else from.insertBefore(match, at);
    morph(match, next);
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function partner(next, at, keyed) {
  const key = next.dataset?.key;
  if (key) return keyed.get(key)?.nodeName === next.nodeName ? keyed.get(key) : null;
  return at && !at.dataset?.key && at.nodeName === next.nodeName ? at : null;
}

function morph(from, to) {
  if (from.nodeType === Node.TEXT_NODE) {
    if (from.data !== to.data) from.data = to.data;
    return;
  }
  if (from.dataset.keep !== undefined || (to.make && from.from === to.from)) return;
  if (to.make) to = made(to);
  from.from = to.from;
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && name !== "open" && name !== "style") from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) {
    if (name !== "style" && name !== "open" && from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  if (from.style.cssText !== to.style.cssText) from.style.cssText = to.style.cssText;
  for (const name of HANDLERS) if (from[name] !== to[name]) from[name] = to[name];
  if (from.nodeName === "BUTTON" && from.disabled !== to.disabled) from.disabled = to.disabled;
  morphInto(from, to);
  if (from.nodeName === "SELECT" && document.activeElement !== from) from.value = to.value;
}
