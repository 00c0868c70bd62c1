"""Waiting for jobs: one inbox a client, read by whichever thread waits, for all handles."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from relayq.errors import BrokerRefused, BrokerUnavailable
from relayq.model import Change, Chunk, Job, JobSpec
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
        self._pending: dict[str, None] = {}  #: what is waited for, in order
        self._specs: dict[str, JobSpec] = {}  #: of those that were submitted here
        self._ended: dict[str, Ended] = {}
        self._listeners: list[deque[str]] = []
        self._outputs: dict[str, int] = {}
        self._checked_at = time.monotonic()
        self._complained = False

    def expect(self, specs: Mapping[str, JobSpec]) -> None:
        """These jobs were submitted with our inbox: their ends will come by themselves."""
        with self._news:
            self._specs.update(specs)
            self._pending.update(dict.fromkeys(specs))

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
            self._pending.update(dict.fromkeys(id for id in ids if id not in self._ended))

    @contextmanager
    def arrivals(self) -> Iterator[deque[str]]:
        """The ids of jobs in the order their ends are heard of, from now on."""
        arrived: deque[str] = deque()
        with self._news:
            self._listeners.append(arrived)
        try:
            yield arrived
        finally:
            with self._news:
                self._listeners.remove(arrived)

    def ended(self, id: str) -> Ended | None:
        """What is known of this job's end so far, without asking."""
        return self._ended.get(id)

    def forget(self, id: str) -> None:
        """Nobody asks any more."""
        with self._news:
            self._pending.pop(id, None)
            self._specs.pop(id, None)
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
            self._cursor, changes = self._store().wait(self.inbox, self._cursor, timeout, self._specs)
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
        pending = list(self._pending)
        for start in range(0, len(pending), 500):
            for job in self._store().watch(self.inbox, pending[start : start + 500]):
                self._note(job, None)
        self._checked_at = time.monotonic()
        self._complained = False

    def _note(self, job: Job, chunks: tuple[Chunk, ...] | None) -> None:
        with self._news:
            if job.id in self._pending or job.id not in self._ended:
                self._pending.pop(job.id, None)
                self._specs.pop(job.id, None)
                self._ended[job.id] = Ended(job, chunks)
                for arrived in self._listeners:
                    arrived.append(job.id)
                self._news.notify_all()
