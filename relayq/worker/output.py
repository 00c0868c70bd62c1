"""An attempt's output on its way to the store: kept while the broker is away, bounded like all output."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from relayq.errors import BrokerUnavailable, StaleAttempt
from relayq.model import Chunk
from relayq.store.kept_output import KeptOutput
from relayq.supervisor.messages import Output

SEND_EVERY = 0.1  #: seconds between two sendings of one attempt
SEND_BYTES = 128 << 10  #: in one call: a slow link must get it through within the call's timeout
WHEN_AWAY = 1.0  #: seconds between two tries while the broker does not answer


class Unsent:
    """What has not been sent yet: a few batches on their way, and head and tail of what came since."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = KeptOutput(limit)
        self._batches: deque[list[Chunk]] = deque()
        self._due_at: float | None = None
        self._sent_at = 0.0
        self._ends = [0, 0, 0]  #: of what was sent, by stream

    @property
    def sent(self) -> tuple[int, int]:
        """How far stdout and stderr have been sent."""
        return self._ends[1], self._ends[2]

    def restart(self, ends: tuple[int, int]) -> None:
        """Only so much has arrived after all; the rest will be added again."""
        self.take()
        self._ends = [0, *ends]

    def add(self, frames: Iterable[Output]) -> None:
        """More output came from the process."""
        for frame in frames:
            self._kept.add(Chunk(stream=frame.stream, offset=frame.offset, data=frame.data))
            if self._due_at is None:
                self._due_at = max(time.monotonic(), self._sent_at + SEND_EVERY)

    def due_in(self) -> float | None:
        """Seconds until something is to be sent; None if there is nothing."""
        return None if self._due_at is None else max(0.0, self._due_at - time.monotonic())

    def send_if_due(self, send: Callable[[Sequence[Chunk]], None]) -> None:
        """Send a batch, if it is time; keep it if the broker is away. Raises StaleAttempt as `send` does."""
        if self._due_at is None or time.monotonic() < self._due_at:
            return
        if not self._batches:
            self._batches.extend(batches(self._kept.read(0)))
            self._kept = KeptOutput(self._limit)
        try:
            send(self._batches[0])
        except BrokerUnavailable:
            self._due_at = time.monotonic() + WHEN_AWAY
            return
        except StaleAttempt:
            self._due_at = time.monotonic() + WHEN_AWAY
            raise
        for chunk in self._batches.popleft():
            self._ends[chunk.stream] = max(self._ends[chunk.stream], chunk.offset + len(chunk.data))
        self._sent_at = time.monotonic()
        if self._batches:
            self._due_at = self._sent_at  # but first the process is looked after
        else:
            self._due_at = self._sent_at + SEND_EVERY if self._kept.position else None

    def take(self) -> Sequence[Chunk]:
        """What is left, to be sent by the caller."""
        left = [chunk for batch in self._batches for chunk in batch]
        left += self._kept.read(0)
        self._batches.clear()
        self._due_at = None
        if self._kept.position:
            self._kept = KeptOutput(self._limit)
        return left


def batches(chunks: Iterable[Chunk]) -> Iterator[list[Chunk]]:
    """The same output in parts of at most SEND_BYTES."""
    batch: list[Chunk] = []
    room = SEND_BYTES
    for whole in chunks:
        chunk = whole
        while len(chunk.data) > room:
            batch.append(Chunk(stream=chunk.stream, offset=chunk.offset, data=chunk.data[:room]))
            chunk = Chunk(stream=chunk.stream, offset=chunk.offset + room, data=chunk.data[room:])
            yield batch
            batch, room = [], SEND_BYTES
        batch.append(chunk)
        room -= len(chunk.data)
    if batch:
        yield batch
