// Output as lines: chunks of bytes in, numbered lines out; a bounded number of them is kept, however long it goes on.

import { PLAIN, parse, strip } from "./ansi.js";

export const MOST_LINES = 100000;
const LONGEST = 4000; // letters of a line that are kept

/** The lines of one attempt's output. */
export class Lines {
  constructor() {
    this.kept = []; // {stream, text, plain, style, pieces?}
    this.dropped = 0; // lines that went before those kept
    this.missing = 0; // bytes that were never kept by the broker
    this.streams = new Map(); // 1 or 2 → {decoder, seen, style, open: the line being written}
  }

  /** Add a chunk {stream, offset, data (base64)}. What came before is skipped, so repeats are harmless. */
  add({ stream, offset, data }) {
    let bytes = decode(data);
    const it = this.stream(stream);
    if (offset + bytes.length <= it.seen) return;
    if (offset < it.seen) bytes = bytes.subarray(it.seen - offset);
    if (offset > it.seen) this.gap(stream, it, offset - it.seen);
    it.seen = Math.max(it.seen, offset) + bytes.length;
    this.write(stream, it, it.decoder.decode(bytes, { stream: true }));
    this.trim();
  }

  stream(number) {
    if (!this.streams.has(number)) this.streams.set(number, { decoder: new TextDecoder(), seen: 0, style: PLAIN, open: null });
    return this.streams.get(number);
  }

  gap(stream, it, bytes) {
    this.missing += bytes;
    it.open = null;
    it.decoder = new TextDecoder();
    this.kept.push({ stream: 0, text: `… ${bytes.toLocaleString()} bytes were not kept …`, plain: "", style: PLAIN });
  }

  write(stream, it, text) {
    const parts = text.split("\n");
    parts.forEach((part, index) => {
      if (part || index < parts.length - 1) {
        if (!it.open) {
          it.open = { stream, text: "", plain: "", style: it.style };
          this.kept.push(it.open);
        }
        if (part) append(it.open, part);
      }
      if (index < parts.length - 1) {
        if (it.open.text.includes("\u001b")) it.style = parse(it.open.text, it.open.style).style;
        it.open = null;
      }
    });
  }

  trim() {
    const over = this.kept.length - MOST_LINES;
    if (over < MOST_LINES / 10) return; // in few large steps: each moves the whole array
    this.kept.splice(0, over);
    this.dropped += over;
  }
}

function append(line, part) {
  let text = line.text + part;
  const back = text.replace(/\r+$/, "").lastIndexOf("\r"); // a progress bar writes its line again
  if (back >= 0) text = text.slice(back + 1);
  if (text.length > LONGEST) text = `${text.slice(0, LONGEST)}…`;
  line.text = text;
  line.plain = strip(text);
  line.pieces = null;
}

function decode(base64) {
  const binary = atob(base64);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}
