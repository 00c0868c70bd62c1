"""Waiting for jobs: one inbox a client, read by whichever thread waits, for all handles."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable

from relayq.errors import BrokerRefused, BrokerUnavailable
from relayq.model import Change, Chunk, Job
from relayq.store import Store

RECHECK = 10.0  #: seconds without news after which the store is asked: an inbox may be lost with a broker


class Ended:
    """What is known of a job that has ended."""

    __slots__ = ("chunks", "job")

    def __init__(self, job: Job, chunks: tuple[Chunk, ...] | None) -> None:
        self.job = job
        self.chunks = chunks  #: its output, if it came with the news


class Watcher:
    """Hears of ends and output of the jobs it watches. Threads that wait share one blocking read."""

    def __init__(self, store: Callable[[], Store], inbox: str) -> None:
        self.inbox = inbox
        self._store = store
        self._news = threading.Condition()
        self._reading = False
        self._cursor = "0"
        self._pending: set[str] = set()
        self._ended: dict[str, Ended] = {}
        self._outputs: dict[str, int] = {}
        self._checked_at = time.monotonic()
        self._complained = False

    def expect(self, ids: Iterable[str]) -> None:
        """These jobs were submitted with our inbox: their ends will come by themselves."""
        with self._news:
            self._pending.update(ids)

    def watch(self, ids: Iterable[str], *, output: bool = False) -> None:
        """Hear of the ends (or the output) of any jobs."""
        ids = list(ids)
        if output:
            with self._news:
                for id in ids:
                    self._outputs.setdefault(id, 0)
        for job in self._store().watch(self.inbox, ids, output=output):
            self._note(job, None)
        with self._news:
            self._pending.update(id for id in ids if id not in self._ended)

    def ended(self, id: str) -> Ended | None:
        """What is known of this job's end so far, without asking."""
        return self._ended.get(id)

    def forget(self, id: str) -> None:
        """Nobody asks any more."""
        with self._news:
            self._pending.discard(id)
            self._ended.pop(id, None)
            self._outputs.pop(id, None)

    def note(self, job: Job) -> None:
        """Somebody learnt of an end by asking."""
        self._note(job, None)

    def outputs(self, id: str) -> int:
        """Grows with every piece of output heard of."""
        return self._outputs.get(id, 0)

    def wait(self, condition: Callable[[], bool], deadline: float | None) -> bool:
        """Read news until `condition` holds; False if `deadline` (monotonic) came first.

        A broker that is away does not end the wait: it is said once on stderr. A refusal is raised.
        """
        while True:
            with self._news:
                if condition():
                    return True
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                if self._reading:
                    self._news.wait(left)
                    continue
                self._reading = True
            try:
                self._read(4.0 if left is None else min(left, 4.0))
            finally:
                with self._news:
                    self._reading = False
                    self._news.notify_all()

    def _read(self, timeout: float) -> None:
        try:
            if time.monotonic() - self._checked_at > RECHECK or self._complained:
                self._recheck()
            self._cursor, changes = self._store().wait(self.inbox, self._cursor, timeout)
        except BrokerRefused:
            raise
        except BrokerUnavailable as error:
            if not self._complained:
                sys.stderr.write(f"relayq: {error}. Still waiting …\n")
            self._complained = True
            time.sleep(min(timeout, 0.5))
            return
        if changes:
            self._checked_at = time.monotonic()
        for change in changes:
            self._hear(change)

    def _hear(self, change: Change) -> None:
        if change.what == "output":
            with self._news:
                if change.job in self._outputs:
                    self._outputs[change.job] += 1
        elif change.record is not None:
            self._note(change.record, change.chunks)
        else:
            [job] = self._store().get([change.job])
            if job is not None and job.state.ended:
                self._note(job, None)

    def _recheck(self) -> None:
        pending = sorted(self._pending)
        for start in range(0, len(pending), 500):
            for job in self._store().watch(self.inbox, pending[start : start + 500]):
                self._note(job, None)
        self._checked_at = time.monotonic()
        self._complained = False

    def _note(self, job: Job, chunks: tuple[Chunk, ...] | None) -> None:
        with self._news:
            if job.id in self._pending or job.id not in self._ended:
                self._pending.discard(job.id)
                self._ended[job.id] = Ended(job, chunks)
                self._news.notify_all()
