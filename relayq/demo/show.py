"""What the demo puts on the screen: plain lines for 80 columns, colour and a moving line only on a terminal."""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Iterable, Mapping
from typing import TextIO

WIDTH = 80
_QUIET = 1.0  #: seconds between two lines of progress where nothing can be overwritten
_BOLD, _DIM, _GREEN, _RED, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[31m", "\x1b[0m"


class Screen:
    """Writes to `stream` as well as that can show it."""

    def __init__(self, stream: TextIO, env: Mapping[str, str] = os.environ) -> None:
        self._stream = stream
        self._encoding = stream.encoding or "ascii"
        self._terminal = stream.isatty() and env.get("TERM") != "dumb"
        self._colour = self._terminal and not env.get("NO_COLOR")
        self._moving = False  #: the cursor stands behind a line of progress
        self._live_at = 0.0
        self.good, self.bad = ("✓", "✗") if self._shown("✓✗") == "✓✗" else ("ok", "FAILED")

    def title(self, text: str) -> None:
        """What follows is about this."""
        self._write(f"\n{self._in(_BOLD, text)}")

    def line(self, text: str) -> None:
        """One line. Never cut: it may be a path or the end of a log."""
        self._write(f"  {text}")

    def lines(self, texts: Iterable[str]) -> None:
        """Several."""
        for text in texts:
            self.line(text)

    def aside(self, text: str) -> None:
        """A line that explains."""
        self._write(self._in(_DIM, f"  {text}"))

    def live(self, text: str) -> None:
        """How it goes just now: overwritten on a terminal, otherwise now and then a line."""
        if self._terminal:
            self._stream.write(f"\r\x1b[K{self._shown(f'  {_cut(text)}')}")
            self._stream.flush()
            self._moving = True
        elif time.monotonic() - self._live_at >= _QUIET:
            self._live_at = time.monotonic()
            self.line(_cut(text))

    def verdict(self, ok: bool, text: str) -> None:
        """Whether it did what it says, and the figures. Never cut, but wrapped: it may say what to do next."""
        mark = self.good if ok else self.bad
        indent = " " * (len(mark) + 3)
        for number, line in enumerate(_wrapped(text, WIDTH - len(indent))):
            self._write(f"{indent}{line}" if number else f"  {self._in(_GREEN if ok else _RED, mark)} {line}")

    def _in(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self._colour else text

    def _write(self, text: str) -> None:
        start = "\r\x1b[K" if self._moving else ""
        self._moving = False
        self._stream.write(f"{start}{self._shown(text)}\n")
        self._stream.flush()

    def _shown(self, text: str) -> str:
        return text.encode(self._encoding, "replace").decode(self._encoding)


def _wrapped(text: str, width: int) -> list[str]:
    lines = (textwrap.wrap(line, width, break_on_hyphens=False) for line in text.splitlines())
    return [part for parts in lines for part in parts] or [""]


def _cut(text: str) -> str:
    room = WIDTH - 3  # indented; a full line would make some terminals go to the next
    return text if len(text) <= room else text[: room - 1] + "…"
