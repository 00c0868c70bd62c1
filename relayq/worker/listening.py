"""What an attempt says in its output that is meant for relayq: how far it is, and its last line."""

from __future__ import annotations

from collections.abc import Iterable

from relayq.progress import Listener, Progress
from relayq.supervisor.messages import Output

LAST_BYTES = 64 << 10  #: of standard output looked at for its last line


class Listening:
    """Hears an attempt's output as it comes; also again from its beginning, as a worker that adopts it does."""

    def __init__(self) -> None:
        self._progress = Listener()
        self._last = b""
        self._at = 0

    def hear(self, frames: Iterable[Output]) -> Progress | None:
        """What the job says of its progress in this, if it does."""
        said = None
        for frame in frames:
            said = self._progress.hear(frame.stream, frame.offset, frame.data) or said
            if frame.stream == 1:
                self._keep(frame)
        return said

    @property
    def last_words(self) -> str:
        """The last line of its standard output."""
        return self._last.rstrip(b"\n").rpartition(b"\n")[2].decode("utf-8", "replace")

    def _keep(self, frame: Output) -> None:
        if frame.offset > self._at:
            self._last = b""  # bytes were dropped
        self._last = (self._last + frame.data[max(0, self._at - frame.offset) :])[-LAST_BYTES:]
        self._at = max(self._at, frame.offset + len(frame.data))
