"""What is kept of an attempt's output: its head and its tail, as lib/outputs.lua's `append` does it."""

from __future__ import annotations

from relayq.model import Chunk


class KeptOutput:
    """Pieces of stdout and stderr in the order they came, `limit` bytes together; what was said before is skipped."""

    def __init__(self, limit: int) -> None:
        self._tail_limit = limit // 2
        self._head_limit = limit - self._tail_limit
        self._head: list[Chunk] = []
        self._tail: list[Chunk] = []
        self._dropped = 0
        self._ends = {1: 0, 2: 0}

    @property
    def ends(self) -> tuple[int, int]:
        """How many bytes of stdout and stderr came so far."""
        return self._ends[1], self._ends[2]

    @property
    def bytes(self) -> int:
        """How much is kept."""
        return sum(len(c.data) for c in (*self._head, *self._tail))

    @property
    def position(self) -> int:
        """Where the next piece will stand."""
        return len(self._head) + self._dropped + len(self._tail)

    def read(self, position: int) -> tuple[Chunk, ...]:
        """Everything kept from a position on."""
        skip = max(0, position - len(self._head) - self._dropped)
        return (*self._head[position:], *self._tail[skip:])

    def add(self, chunk: Chunk) -> None:
        """One more piece."""
        skip = max(0, self._ends[chunk.stream] - chunk.offset)
        data, offset = chunk.data[skip:], chunk.offset + skip
        if not data:
            return
        self._ends[chunk.stream] = offset + len(data)
        room = 0 if self._tail or self._dropped else self._head_limit - sum(len(c.data) for c in self._head)
        if room > 0:
            self._head.append(Chunk(stream=chunk.stream, offset=offset, data=data[:room]))
            data, offset = data[room:], offset + room
        if data:
            self._tail.append(Chunk(stream=chunk.stream, offset=offset, data=data))
        self._trim()

    def _trim(self) -> None:
        while (excess := sum(len(c.data) for c in self._tail) - self._tail_limit) > 0:
            first = self._tail.pop(0)
            if len(first.data) <= excess:
                self._dropped += 1
            else:
                kept = Chunk(stream=first.stream, offset=first.offset + excess, data=first.data[excess:])
                self._tail.insert(0, kept)
