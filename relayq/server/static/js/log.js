// The log of a job: only the lines in sight are elements, so that output without end costs no more than a screenful.

import { draw, parse } from "./ansi.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { Lines } from "./lines.js";
import { button } from "./ui.js";

const LINE = 20; // px, as the CSS has it
const AROUND = 20; // lines drawn above and below those in sight
const TALLEST = 8e6; // px: browsers give up beyond some 16 million
const ERROR = /\b(error|fatal|exception|traceback|panic|failed|failure|segfault)\b/i;

/** One log pane; `element` lives by itself, and is told of output by `add`. */
export class Log {
  constructor({ raw }) {
    this.raw = raw; // (stream) → address of the whole output
    this.attempt = null;
    this.follow = true;
    this.only = 0; // 0 both, 1 stdout, 2 stderr
    this.wanted = "";
    this.at = -1; // index in `shown` of the match looked at
    this.element = this.build();
    this.clear();
  }

  /** Forget everything: another attempt is shown. */
  clear(attempt = null) {
    this.attempt = attempt;
    this.lines = new Lines();
    this.shown = this.lines.kept;
    this.ended = false;
    this.later();
  }

  /** Add output {attempt, chunks, next, ended}. */
  add(output) {
    if (this.attempt !== output.attempt) this.clear(output.attempt);
    for (const chunk of output.chunks) this.lines.add(chunk);
    this.ended = output.ended;
    if (output.dropped_bytes) this.lines.missing = output.dropped_bytes;
    this.later();
  }

  build() {
    this.count = h("span", { class: "log-count", role: "status" });
    this.field = h("input", { type: "search", placeholder: "Search the log", "aria-label": "search the log", "data-search": true, spellcheck: "false" });
    this.field.oninput = () => this.search(this.field.value);
    this.field.onkeydown = (event) => {
      if (event.key === "Enter") this.step(event.shiftKey ? -1 : 1);
      if (event.key === "Escape") this.field.blur();
    };
    this.followBox = h("input", { type: "checkbox", checked: true, on: { change: (event) => this.setFollow(event.target.checked) } });
    this.fill = h("div", { class: "log-lines" });
    this.space = h("div", { class: "log-space" }, this.fill);
    this.pane = h("div", { class: "log-pane", tabindex: "0", role: "log", "aria-live": "off", "aria-label": "output" }, this.space);
    this.pane.onscroll = () => this.scrolled();
    this.pane.onkeydown = (event) => {
      if (event.key === "n") this.step(1);
      if (event.key === "N") this.step(-1);
    };
    const stream = (value, label) =>
      h("label", {}, h("input", { type: "radio", name: "log-stream", value, checked: value === 0, on: { change: () => this.show(value) } }), h("span", {}, label));
    this.whole = h("a", { class: "button small", href: this.raw("both"), download: true }, icon("download"), h("span", {}, "Download"));
    const bar = h(
      "div",
      { class: "log-bar" },
      h("div", { class: "log-search" }, icon("search"), this.field, h("button", { type: "button", class: "plain", "aria-label": "match before", on: { click: () => this.step(-1) } }, icon("up")), h("button", { type: "button", class: "plain", "aria-label": "next match", on: { click: () => this.step(1) } }, icon("down"))),
      this.count,
      h("fieldset", { class: "segments" }, h("legend", { class: "visually-hidden" }, "which output"), stream(0, "Both"), stream(1, "stdout"), stream(2, "stderr")),
      button("Next error", () => this.nextError(), { kind: "small", glyph: "alert", title: "jump to the next line that tells of an error" }),
      h("label", { class: "switch" }, this.followBox, h("span", {}, "Follow")),
      this.whole,
    );
    new ResizeObserver(() => this.later()).observe(this.pane);
    return h("div", { class: "log", "data-keep": true, key: "log" }, bar, this.pane);
  }

  /** For the page to be drawn: the pane itself the first time, then what stands for it, since moving it would scroll it. */
  place() {
    return this.element.isConnected ? h("div", { key: "log" }) : this.element;
  }

  show(stream) {
    this.only = stream;
    this.whole.href = this.raw(stream || "both");
    this.at = -1;
    this.later();
  }

  search(text) {
    this.wanted = text.toLowerCase();
    this.at = -1;
    if (text) this.step(1);
    this.later();
  }

  /** To the next line (or with −1 the one before) that fits the search. */
  step(by) {
    if (this.wanted) this.jump((line) => line.plain.toLowerCase().includes(this.wanted), by);
  }

  nextError() {
    if (!this.jump((line) => line.stream === 2 || ERROR.test(line.plain), 1)) this.say("no error in it");
  }

  jump(fits, by) {
    this.select();
    const total = this.shown.length;
    const start = this.at < 0 && by < 0 ? 0 : this.at;
    for (let step = 1; step <= total; step++) {
      const index = (((start + by * step) % total) + total) % total;
      if (!fits(this.shown[index])) continue;
      this.at = index;
      this.setFollow(false);
      this.pane.scrollTop = this.top(index) - this.pane.clientHeight / 3;
      this.later();
      return true;
    }
    return false;
  }

  setFollow(follow) {
    this.follow = follow;
    this.followBox.checked = follow;
    if (follow) this.later();
  }

  scrolled() {
    const bottom = this.pane.scrollHeight - this.pane.scrollTop - this.pane.clientHeight;
    if (this.drawnTop !== undefined && this.pane.scrollTop < this.drawnTop - 2 && bottom > LINE * 2) this.setFollow(false);
    else if (!this.follow && bottom < 2 && this.pane.scrollTop > this.drawnTop) this.setFollow(true);
    this.drawnTop = this.pane.scrollTop;
    this.later();
  }

  /** Draw with the next frame, once. */
  later() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.draw();
    });
  }

  // What the choice of stream leaves, and how many lines fit the search: found out again only when something has changed.
  select() {
    const state = `${this.only} ${this.lines.kept.length} ${this.lines.dropped} ${this.wanted} ${this.attempt}`;
    if (state === this.selected) return;
    this.selected = state;
    this.shown = this.only ? this.lines.kept.filter((line) => line.stream === this.only || line.stream === 0) : this.lines.kept;
    this.fitting = this.wanted ? this.shown.reduce((sum, line) => sum + (line.plain.toLowerCase().includes(this.wanted) ? 1 : 0), 0) : 0;
  }

  top(index) {
    return index * LINE * this.scale();
  }

  // More lines than a browser can make room for share the room there is.
  scale() {
    return Math.min(1, TALLEST / Math.max(1, this.shown.length * LINE));
  }

  draw() {
    this.select();
    const total = this.shown.length;
    this.space.style.height = `${Math.max(LINE, total * LINE * this.scale())}px`;
    if (this.follow) this.pane.scrollTop = this.pane.scrollHeight;
    this.drawnTop = this.pane.scrollTop;
    const first = Math.max(0, Math.floor(this.pane.scrollTop / (LINE * this.scale())) - AROUND);
    const last = Math.min(total, first + Math.ceil(this.pane.clientHeight / LINE) + 2 * AROUND);
    this.fill.style.transform = `translateY(${this.top(first)}px)`;
    const rows = [];
    for (let index = first; index < last; index++) rows.push(this.row(this.shown[index], index));
    if (!total) rows.push(h("div", { class: "log-line note" }, this.ended ? "It printed nothing." : "Nothing printed yet."));
    this.fill.replaceChildren(...rows);
    this.pane.dataset.lines = total;
    this.say();
  }

  row(line, index) {
    line.pieces ??= parse(line.text, line.style).pieces;
    const marks = this.wanted ? found(line.plain.toLowerCase(), this.wanted) : [];
    const kind = line.plain.startsWith("::progress") ? "mark" : ["note", "out", "err"][line.stream];
    const name = `log-line ${kind} ${index === this.at ? "here" : ""}`;
    const number = h("span", { class: "log-number", "aria-hidden": "true", "data-number": this.lines.dropped + index + 1 });
    return h("div", { class: name }, number, h("span", { class: "log-text" }, draw(line.pieces, marks)));
  }

  say(text = "") {
    const parts = [];
    if (this.wanted) {
      parts.push(`${this.fitting.toLocaleString()} of ${this.shown.length.toLocaleString()} lines fit`);
    } else parts.push(`${this.shown.length.toLocaleString()} ${this.shown.length === 1 ? "line" : "lines"}`);
    if (this.lines.dropped) parts.push(`${this.lines.dropped.toLocaleString()} earlier ones only in the download`);
    if (this.lines.missing) parts.push(`${this.lines.missing.toLocaleString()} bytes not kept`);
    this.count.textContent = text || parts.join(" · ");
  }
}

function found(text, wanted) {
  const marks = [];
  for (let at = text.indexOf(wanted); at >= 0 && marks.length < 50; at = text.indexOf(wanted, at + wanted.length)) marks.push([at, at + wanted.length]);
  return marks;
}
