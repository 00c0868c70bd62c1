"""The bar at the bottom of a terminal that shows how far a job is; where there is no terminal, nothing."""

from __future__ import annotations

import os
import shutil
import sys
from typing import BinaryIO

from relayq.progress import Progress, may_begin, parse

WIDTH = 20  #: characters of the bar itself


class Bar:
    """One line on stderr, drawn after everything else that stands there."""

    def __init__(self) -> None:
        self.possible = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._progress: Progress | None = None
        self._drawn = False
        self._sieves = {1: Sieve(), 2: Sieve()}
        self._in_a_line = False  #: of output: a bar there would overwrite it

    def pass_on(self, stream: int, data: bytes, file: BinaryIO) -> None:
        """Write output. Lines that move the bar do so; on a terminal they are not shown as well."""
        shown = self.possible and file.isatty()
        rest, said = self._sieves[stream].divide(data) if self.possible else (data, None)
        self._write(file, rest if shown else data, shown)
        if said is not None:
            self.show(said)
        elif not self._drawn:
            self._draw()

    def show(self, progress: Progress) -> None:
        """Draw it thus from now on."""
        self._progress = progress
        self._draw()

    def end(self) -> None:
        """Nothing comes any more: what was held back is written, and the bar goes."""
        for stream, file in ((1, sys.stdout.buffer), (2, sys.stderr.buffer)):
            rest = self._sieves[stream].end()
            if file.isatty():
                self._write(file, rest, True)
        self._clear()
        self._progress = None

    def _write(self, file: BinaryIO, data: bytes, on_terminal: bool) -> None:
        if data and on_terminal:
            self._clear()
            self._in_a_line = not data.endswith(b"\n")
        file.write(data)
        file.flush()

    def _draw(self) -> None:
        if self._progress is not None and self.possible and not self._in_a_line:
            text = drawn(self._progress, shutil.get_terminal_size().columns - 1)
            # The cursor goes back, so that what others say on stderr begins a line.
            sys.stderr.write(f"\r{text}\x1b[K\r")
            sys.stderr.flush()
            self._drawn = True

    def _clear(self) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False


def drawn(progress: Progress, columns: int) -> str:
    """The bar as text.

    >>> drawn(Progress(0.42, "frame 1000"), 80)
    '[########............] 42 %, frame 1000'
    """
    if progress.fraction is None:
        return str(progress)[:columns]
    full = int(progress.fraction * WIDTH)
    return f"[{'#' * full}{'.' * (WIDTH - full)}] {progress}"[:columns]


class Sieve:
    """Divides one stream into what is to be shown and what moves the bar, however it was cut into pieces."""

    def __init__(self) -> None:
        self._held = b""
        self._at_start = True

    def divide(self, data: bytes) -> tuple[bytes, Progress | None]:
        """What is to be shown, and the last that moves the bar."""
        shown, said = [], None
        *ended, last = (self._held + data).split(b"\n")
        self._held = b""
        for line in ended:
            found = parse(line) if self._at_start else None
            said = found or said
            if found is None:
                shown.append(line + b"\n")
            self._at_start = True
        if self._at_start and last and may_begin(last):
            self._held = last
        elif last:
            shown.append(last)
            self._at_start = False
        return b"".join(shown), said

    def end(self) -> bytes:
        """What was held back."""
        held, self._held = self._held, b""
        return held
