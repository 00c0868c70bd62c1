"""An attempt's output on its way to the store: kept while the broker is away, bounded like all output."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from relayq.errors import BrokerUnavailable
from relayq.model import Chunk
from relayq.store.kept_output import KeptOutput
from relayq.supervisor.messages import Output

SEND_EVERY = 0.1  #: seconds between two sendings of one attempt
WHEN_AWAY = 1.0  #: seconds between two tries while the broker does not answer


class Unsent:
    """Head and tail of what has not been sent yet."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = KeptOutput(limit)
        self._due_at: float | None = None
        self._sent_at = 0.0

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
        """Send what has come, if it is time; keep it if the broker is away. Raises StaleAttempt as `send` does."""
        if self._due_at is None or time.monotonic() < self._due_at:
            return
        try:
            send(self._kept.read(0))
        except BrokerUnavailable:
            self._due_at = time.monotonic() + WHEN_AWAY
            return
        self.take()
        self._sent_at = time.monotonic()

    def take(self) -> Sequence[Chunk]:
        """What is left, to be sent by the caller."""
        chunks, self._due_at = self._kept.read(0), None
        if chunks:
            self._kept = KeptOutput(self._limit)
        return chunks
