// Colours of terminals: text with SGR sequences as pieces of styled text. Every other control sequence is left out.

import { h } from "./dom.js";

const ESCAPE = String.fromCharCode(27);
const BELL = String.fromCharCode(7);
// CSI sequences; OSC ones (titles, links) up to their end; other two-letter escapes; the remaining controls.
const SEQUENCE = new RegExp(
  `${ESCAPE}\\[([0-9;:]*)m|${ESCAPE}\\[[0-?]*[ -/]*[@-~]|${ESCAPE}\\][^${BELL}${ESCAPE}]*(?:${BELL}|${ESCAPE}\\\\)?|${ESCAPE}[ -/]*[0-~]?|[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f]`,
  "g",
);
// What could turn the text around it about (bidirectional overrides) is shown, not obeyed.
const INVISIBLE = /[\u202a-\u202e\u2066-\u2069]/g;

/** How text looks before anything was said. */
export const PLAIN = Object.freeze({ fg: null, bg: null, bold: false, dim: false, italic: false, under: false, swap: false });

/** The pieces of a line that starts in `style`: {pieces: [{text, style}], style at its end}. */
export function parse(line, style = PLAIN) {
  const pieces = [];
  let from = 0;
  const put = (text) => text && pieces.push({ text: text.replace(INVISIBLE, "\ufffd"), style });
  for (const match of line.matchAll(SEQUENCE)) {
    put(line.slice(from, match.index));
    from = match.index + match[0].length;
    if (match[1] !== undefined) style = painted(style, match[1]);
  }
  put(line.slice(from));
  return { pieces, style };
}

/** The line without any sequence. */
export function strip(line) {
  return line.replace(SEQUENCE, "").replace(INVISIBLE, "\ufffd");
}

function painted(before, text) {
  const style = { ...before };
  const codes = text.split(/[;:]/).map(Number);
  for (let at = 0; at < codes.length; at++) {
    const code = codes[at];
    if (code === 0) Object.assign(style, PLAIN);
    else if (code === 1) style.bold = true;
    else if (code === 2) style.dim = true;
    else if (code === 3) style.italic = true;
    else if (code === 4) style.under = true;
    else if (code === 7) style.swap = true;
    else if (code === 22) style.bold = style.dim = false;
    else if (code === 23) style.italic = false;
    else if (code === 24) style.under = false;
    else if (code === 27) style.swap = false;
    else if (code === 39) style.fg = null;
    else if (code === 49) style.bg = null;
    else if (code >= 30 && code <= 37) style.fg = code - 30;
    else if (code >= 40 && code <= 47) style.bg = code - 40;
    else if (code >= 90 && code <= 97) style.fg = code - 82;
    else if (code >= 100 && code <= 107) style.bg = code - 92;
    else if (code === 38 || code === 48) {
      const [colour, used] = wide(codes, at + 1);
      if (colour !== null) style[code === 38 ? "fg" : "bg"] = colour;
      at += used;
    }
  }
  return style;
}

// 5;N of 256 colours, or 2;R;G;B: a number below 16 is one of the palette, text is CSS.
function wide(codes, at) {
  const byte = (number) => Math.min(255, Math.max(0, number || 0));
  if (codes[at] === 2) return [`rgb(${byte(codes[at + 1])},${byte(codes[at + 2])},${byte(codes[at + 3])})`, 4];
  if (codes[at] !== 5) return [null, 0];
  const index = byte(codes[at + 1]);
  if (index < 16) return [index, 2];
  if (index >= 232) return [`rgb(${Array(3).fill(8 + (index - 232) * 10)})`, 2];
  const level = (step) => (step ? 55 + step * 40 : 0);
  const cube = index - 16;
  return [`rgb(${level(Math.floor(cube / 36))},${level(Math.floor(cube / 6) % 6)},${level(cube % 6)})`, 2];
}

/** Pieces as elements; what lies in `marks` ([[from, to]…], in letters of the plain line) is marked. */
export function draw(pieces, marks = []) {
  const out = [];
  let at = 0;
  for (const { text, style } of pieces) {
    let from = 0;
    const cut = (to, marked) => {
      if (to > from) out.push(element(text.slice(from, to), style, marked));
      from = Math.max(from, to);
    };
    for (const [start, end] of marks) {
      if (end <= at || start >= at + text.length) continue;
      cut(Math.max(0, start - at), false);
      cut(Math.min(text.length, end - at), true);
    }
    cut(text.length, false);
    at += text.length;
  }
  return out;
}

function element(text, style, marked) {
  if (marked) return h("mark", {}, text);
  const [fg, bg] = style.swap ? [style.bg ?? "ground", style.fg ?? "text"] : [style.fg, style.bg];
  const names = ["bold", "dim", "italic", "under"].filter((name) => style[name]).map((name) => `t-${name}`);
  const span = h("span", {});
  if (typeof fg === "number") names.push(`fg-${fg}`);
  else if (fg === "ground") names.push("fg-ground");
  else if (fg) span.style.color = fg;
  if (typeof bg === "number") names.push(`bg-${bg}`);
  else if (bg === "text") names.push("bg-text");
  else if (bg) span.style.backgroundColor = bg;
  if (!names.length && !span.style.cssText) return document.createTextNode(text);
  span.className = names.join(" ");
  span.append(text);
  return span;
}
