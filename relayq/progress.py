"""What a job says of how far it is: a line `::progress 0.42 message` among what it prints, on either stream."""

from __future__ import annotations

import re
from dataclasses import dataclass

MARK = "::progress"
MESSAGE = 200  #: characters kept of a message
_MARK = MARK.encode()
LONGEST = 1024  #: bytes; a longer line is none of these
_NUMBER = (
    r"(?:(?P<number>(?:\d{1,15}(?:\.\d{0,30})?|\.\d{1,30})(?:e[+-]\d{1,3})?)"
    r"(?:\s?(?P<percent>%)|/(?P<of>\d{1,15}))?(?=\s|$))?"
)
_FORM = re.compile(_NUMBER + r"(?P<message>.*)")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is, by its own words."""

    fraction: float | None = None  #: 0 … 1
    message: str | None = None

    def __str__(self) -> str:
        """For people: `42 %, message`."""
        return ", ".join(text for text in (percent(self.fraction), self.message) if text)


def parse(line: bytes) -> Progress | None:
    """What a line says: 0.42, 42% or 5/12, or a message, or both; None if it is no such line.

    >>> parse(b"::progress 0.42 frame 1000")
    Progress(fraction=0.42, message='frame 1000')
    >>> parse(b"::progress 3/4")
    Progress(fraction=0.75, message=None)
    """
    if not line.startswith(_MARK) or len(line) > LONGEST:
        return None
    mark, _, said = line.decode("utf-8", "replace").rstrip().partition(" ")
    if mark != MARK or not (said := said.strip()):
        return None
    found = _FORM.fullmatch("".join(c if c.isprintable() else " " for c in said))
    assert found is not None
    fraction = _fraction(found)
    message = found["message"] if fraction is not None else found.string
    return Progress(fraction, message.strip()[:MESSAGE] or None)


def _fraction(found: re.Match[str]) -> float | None:
    if not found["number"]:
        return None
    whole = 100 if found["percent"] else int(found["of"] or 1)
    fraction = float(found["number"]) / whole if whole else 2.0
    if fraction > 1 and not found["percent"]:
        return None  # such as "3 of 9": words
    return round(min(1.0, fraction), 4)


def line_of(fraction: float | None, message: str = "") -> str:
    """The line that says so, without its end."""
    number = "" if fraction is None else f"{min(1.0, max(0.0, fraction)):.4f}"
    return " ".join(word for word in (MARK, number, message) if word)


def percent(fraction: float | None) -> str:
    """A whole number of percent; 100 only when it is all done."""
    return "" if fraction is None else f"{int(fraction * 100 + 1e-6)} %"


class Listener:
    """Finds these lines in output, as it comes in pieces; what was heard before is passed over."""

    def __init__(self) -> None:
        self._at = {1: 0, 2: 0}
        self._begun: dict[int, bytes | None] = {1: b"", 2: b""}  #: of a line that may be one; None: of another

    def hear(self, stream: int, offset: int, data: bytes) -> Progress | None:
        """The last that this piece says, if it says any."""
        at = self._at[stream]
        if offset > at:
            self._begun[stream] = None  # bytes were dropped, and a line's beginning with them
        new = data[max(0, at - offset) :]
        self._at[stream] = max(at, offset + len(data))
        if not new:
            return None
        *ended, begun = self._lines(self._begun[stream], new)
        self._begun[stream] = begun
        for line in reversed(ended):
            if line is not None and (said := parse(line)) is not None:
                return said
        return None

    @staticmethod
    def _lines(begun: bytes | None, data: bytes) -> list[bytes | None]:
        """The lines that may be ones, the last without its end. Most output has none, and is not taken apart."""
        first, newline, rest = data.partition(b"\n")
        head = None if begun is None else _likely(begun + first)
        if not newline:
            return [head]
        ended = (
            [head] + [line for line in rest.split(b"\n")[:-1] if line.startswith(_MARK)] if _MARK in rest else [head]
        )
        return [*ended, _likely(rest[rest.rfind(b"\n") + 1 :])]


def may_begin(line: bytes) -> bool:
    """Whether this may be the beginning of such a line."""
    return len(line) <= LONGEST and (line.startswith(_MARK) or _MARK.startswith(line))


def _likely(line: bytes) -> bytes | None:
    return line if may_begin(line) else None
