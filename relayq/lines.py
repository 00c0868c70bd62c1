"""Output as lines: the bytes of one stream, as they come, in lines of UTF-8; the last lines of what there is."""

from __future__ import annotations

import codecs
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

from relayq.model import Chunk

_LAST_WORDS = 200  #: characters
_LOOKED_AT = 16 << 10  #: bytes
_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.?)")  # colours, titles, the rest


class Lines:
    """Lines of one stream, newline kept; what is no UTF-8 is replaced. A character may come in several pieces.

    A line ends at \\n alone: \\r\\n stays as it is, and a lone \\r (a progress bar) ends nothing.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun: list[str] = []  #: of a line without an end; joined once, however many pieces it has
        self._offset: int | None = None

    def add(self, chunk: Chunk) -> Iterator[str]:
        """One more piece of this stream; where bytes were dropped before it, it begins a line."""
        if self._offset not in (None, chunk.offset):
            yield from self.end()
        self._offset = chunk.offset + len(chunk.data)
        first, *more = self._decoder.decode(chunk.data).split("\n")
        self._begun.append(first)
        for text in more:
            yield "".join(self._begun) + "\n"
            self._begun = [text]

    def end(self) -> Iterator[str]:
        """What there is of a line that does not end."""
        rest = "".join(self._begun) + self._decoder.decode(b"", final=True)
        self._begun.clear()
        self._decoder.reset()
        if rest:
            yield rest


def last_lines(chunks: Sequence[Chunk], count: int) -> tuple[Chunk, ...]:
    """The pieces that hold the last `count` lines of both streams together, a line being where it ends.

    A line that has not ended is one too, and dropped bytes end the line before them.
    """
    begun: dict[int, int] = {}  # stream → where its unfinished line begins
    ends: dict[int, int] = {}
    lines: deque[tuple[int, int]] = deque(maxlen=count)
    for chunk in chunks:
        stream, data, at = chunk.stream, chunk.data, 0
        if stream in begun and ends[stream] != chunk.offset:
            lines.append((stream, begun.pop(stream)))
        ends[stream] = chunk.offset + len(data)
        while end := data.find(b"\n", at) + 1:
            lines.append((stream, begun.pop(stream, chunk.offset + at)))
            at = end
        if at < len(data):
            begun[stream] = begun.pop(stream, chunk.offset + at)  # the streams stand in the order of their last words
    lines.extend(begun.items())
    first = dict(reversed(lines))  # where its earliest begins, by stream
    return tuple(_from(chunk, first[chunk.stream]) for chunk in chunks if _reaches(chunk, first.get(chunk.stream)))


def last_words(stderr: bytes) -> str | None:
    """The last line that says something, as plain text of at most 200 characters; None if there is none."""
    for line in reversed(stderr[-_LOOKED_AT:].split(b"\n")):
        text = _ESCAPES.sub("", line.decode("utf-8", "replace")).rstrip().rpartition("\r")[2]
        text = "".join(c if c.isprintable() else " " for c in text).strip()
        if text:
            return text if len(text) <= _LAST_WORDS else f"{text[: _LAST_WORDS - 1]}…"
    return None


def _reaches(chunk: Chunk, start: int | None) -> bool:
    return start is not None and chunk.offset + len(chunk.data) > start


def _from(chunk: Chunk, start: int) -> Chunk:
    skip = max(0, start - chunk.offset)
    return replace(chunk, offset=chunk.offset + skip, data=chunk.data[skip:]) if skip else chunk
