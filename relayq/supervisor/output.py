"""What a job printed, within bounds: the head, the ring tail, and what was dropped between them.

Both streams share one limit. Chunks remember (stream, offset), so the order in which the streams were
written is kept, and a reader can be served from any offset.
"""

from collections.abc import Iterator

STREAMS = (1, 2)
MAX_OUTPUT_BYTES = 64 << 20  #: no job keeps more than this, whatever it asks for

_CHUNK_BYTES = 64 << 10
# Each chunk costs about 150 bytes beside its data: a job that writes single bytes to both streams in
# turn must not cost a hundred times its limit. Above this number the order gets coarser, no byte is lost.
_FINE_CHUNKS = 2048


class Chunk:
    """A piece of one stream."""

    __slots__ = ("data", "offset", "stream")

    def __init__(self, stream: int, offset: int, data: bytes) -> None:
        self.stream = stream
        self.offset = offset
        self.data = bytearray(data)


class Kept:
    """The kept output of one job."""

    __slots__ = (
        "_gone", "_head", "_head_room", "_tail", "_tail_bytes", "_tail_limit", "dropped_bytes", "head_ends", "totals",
    )  # fmt: skip

    def __init__(self, max_bytes: int) -> None:
        max_bytes = max(0, min(max_bytes, MAX_OUTPUT_BYTES))
        self.totals = [0, 0, 0]  #: bytes produced, by stream number (the first is unused)
        self.head_ends = [0, 0, 0]  #: up to which offset each stream lies in the head
        self.dropped_bytes = 0
        self._head_room = max_bytes // 2
        self._tail_limit = max_bytes - self._head_room
        self._head: list[Chunk] = []
        self._tail: list[Chunk] = []
        self._gone = 0  # leading chunks of _tail that were dropped and not yet cut off
        self._tail_bytes = 0

    @classmethod
    def restored(cls, pieces: list[tuple[int, int, bytes]], totals: list[int], dropped_bytes: int) -> "Kept":
        """What was kept earlier, from its (stream, offset, data) in order."""
        kept = cls(0)
        kept._head = [Chunk(*piece) for piece in pieces]
        kept.totals = kept.head_ends = totals
        kept.dropped_bytes = dropped_bytes
        return kept

    @property
    def kept_bytes(self) -> int:
        """How many bytes are held."""
        return self.totals[1] + self.totals[2] - self.dropped_bytes

    def add(self, stream: int, data: bytes) -> None:
        """Takes what was read from a stream."""
        offset = self.totals[stream]
        self.totals[stream] += len(data)
        if self._head_room:
            part = data[: self._head_room]
            self._head_room -= len(part)
            _append(self._head, stream, offset, part, 0)
            offset += len(part)
            self.head_ends[stream] = offset
            data = data[len(part) :]
        if data:
            _append(self._tail, stream, offset, data, self._gone)
            self._tail_bytes += len(data)
            if self._tail_bytes > self._tail_limit:
                self._trim()

    def chunks(self) -> Iterator[Chunk]:
        """Everything kept, in the order in which it was written."""
        yield from self._head
        for index in range(self._gone, len(self._tail)):
            yield self._tail[index]

    def after(self, offsets: list[int], limit: int) -> list[tuple[int, int, bytes]]:
        """Up to about `limit` bytes of (stream, offset, data) from these offsets on, by stream number."""
        found = []
        at = list(offsets)
        for chunk in self._recent(offsets):
            start = max(chunk.offset, at[chunk.stream])
            end = chunk.offset + len(chunk.data)
            if start >= end:
                continue
            end = min(end, start + limit)
            found.append((chunk.stream, start, bytes(chunk.data[start - chunk.offset : end - chunk.offset])))
            at[chunk.stream] = end
            limit -= end - start
            if limit <= 0:
                break
        return found

    def size_after(self, offsets: list[int]) -> int:
        """How many kept bytes lie behind these offsets."""
        return sum(
            max(0, chunk.offset + len(chunk.data) - max(chunk.offset, offsets[chunk.stream]))
            for chunk in self._recent(offsets)
        )

    def _recent(self, offsets: list[int]) -> list[Chunk]:
        # Walked from the end: what is new is a few chunks, what is kept can be thousands. A stream is
        # done with once a chunk of it lies wholly before its offset.
        open_streams = {stream for stream in STREAMS if offsets[stream] < self.totals[stream]}
        found: list[Chunk] = []
        for part, first in ((self._tail, self._gone), (self._head, 0)):
            for index in range(len(part) - 1, first - 1, -1):
                if not open_streams:
                    break
                chunk = part[index]
                if chunk.offset + len(chunk.data) <= offsets[chunk.stream]:
                    open_streams.discard(chunk.stream)
                elif chunk.stream in open_streams:
                    found.append(chunk)
        found.reverse()
        return found

    def _trim(self) -> None:
        surplus = self._tail_bytes - self._tail_limit
        self.dropped_bytes += surplus
        self._tail_bytes -= surplus
        while surplus:
            chunk = self._tail[self._gone]
            if len(chunk.data) <= surplus:
                surplus -= len(chunk.data)
                chunk.data = bytearray()
                self._gone += 1
            else:
                del chunk.data[:surplus]
                chunk.offset += surplus
                surplus = 0
        if self._gone > 64 and self._gone * 2 > len(self._tail):
            del self._tail[: self._gone]
            self._gone = 0


def _append(chunks: list[Chunk], stream: int, offset: int, data: bytes, first: int) -> None:
    candidates = 2 if len(chunks) - first > _FINE_CHUNKS else 1
    for chunk in chunks[: -candidates - 1 : -1] if len(chunks) - first >= candidates else ():
        if (
            chunk.stream == stream
            and chunk.offset + len(chunk.data) == offset
            and len(chunk.data) + len(data) <= _CHUNK_BYTES
        ):
            chunk.data += data
            return
    chunks.append(Chunk(stream, offset, data))
