"""A job's stdout and stderr: reads them in turn with everybody else's, at a bounded rate."""

import os
import selectors
from collections.abc import Callable

from relayq.supervisor.clock import awake
from relayq.supervisor.output import Kept

_READ_BYTES = 64 << 10
# A job that prints for ever must not take a whole core from the others: once it has filled its head,
# each megabyte is followed by a pause (less than 50 MB/s).
_BURST_BYTES = 1 << 20
_PAUSE = 0.02
NEVER = float("inf")
_DRAIN_BYTES = 4 << 20


class Pipes:
    """The reading ends, and what came out of them."""

    __slots__ = ("_burst", "_fds", "_on_data", "_selector", "kept", "resume_at", "watched")

    def __init__(
        self, out: int, err: int, kept: Kept, selector: selectors.BaseSelector, on_data: Callable[[], None]
    ) -> None:
        self.kept = kept
        self.watched = False
        self.resume_at = NEVER  #: when the owner is to call `watch` again, after a pause
        self._fds = {out: 1, err: 2}
        self._selector = selector
        self._on_data = on_data
        self._burst = 0

    @property
    def open(self) -> bool:
        """Whether somebody may still write."""
        return bool(self._fds)

    def watch(self) -> None:
        """Starts, or after a pause goes on, to read whenever there is something."""
        self.resume_at = NEVER
        if not self.watched:
            self.watched = True
            for fd in self._fds:
                self._selector.register(fd, selectors.EVENT_READ, self._ready)

    def drain(self) -> None:
        """Reads what is there now, up to a bound."""
        for fd in list(self._fds):
            budget = _DRAIN_BYTES
            while budget > 0 and (size := self._read(fd)):
                budget -= size

    def close(self) -> None:
        """Stops reading. A writer that is left gets SIGPIPE."""
        for fd in list(self._fds):
            self._end(fd)

    def _ready(self, fd: int, _events: int) -> None:
        if fd not in self._fds:
            return  # closed by an earlier event of the same round
        size = self._read(fd)
        if size:
            if self.kept.dropped_bytes:
                self._burst += size
                if self._burst >= _BURST_BYTES:
                    self._pause()
            self._on_data()

    def _read(self, fd: int) -> int:
        try:
            data = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return 0
        except OSError:
            data = b""
        if data:
            self.kept.add(self._fds[fd], data)
        else:
            self._end(fd)
        return len(data)

    def _pause(self) -> None:
        self._burst = 0
        self.resume_at = awake() + _PAUSE
        self.watched = False
        for fd in self._fds:
            self._selector.unregister(fd)

    def _end(self, fd: int) -> None:
        if self.watched:
            self._selector.unregister(fd)
        del self._fds[fd]
        os.close(fd)
