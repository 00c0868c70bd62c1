"""Output as text: the bytes of one stream, as they come, in lines of UTF-8."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from relayq.model import Chunk


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
