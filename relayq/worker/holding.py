"""The attempts this worker holds: who runs what, for the pulse to renew and to stop; and what it has just ended."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from relayq.model import Chunk, Held, Job, JobSpec, OnLost, Outcome
from relayq.progress import Progress
from relayq.supervisor.clock import elapsed

REMEMBERED = 10.0  #: seconds for which an end is remembered: a restarted broker may have forgotten it


def key_of(held: Held) -> str:
    """An attempt's name at the supervisor: the nonce lets another worker of this machine speak for it."""
    return f"{held.job}/{held.number}/{held.nonce}"


def held_of(key: str) -> Held:
    """The attempt a supervisor's key names."""
    job, number, nonce = key.rsplit("/", 2)
    return Held(job=job, number=int(number), nonce=nonce)


def may_freeze(spec: JobSpec) -> bool:
    """Whether another machine could be given the job, so that it must stop while we are cut off (P5)."""
    return spec.freeze and spec.on is None and spec.on_lost is not OnLost.WAIT


@dataclass(frozen=True, slots=True)
class End:
    """An end that the store has heard."""

    held: Held
    outcome: Outcome
    chunks: Sequence[Chunk]
    job: Job | None  #: as it was claimed
    at: float  #: monotonic


class Holding:
    """Safe to share between the slots and the pulse. One attempt at a job counts: `displaced` hears of an older one."""

    def __init__(self, displaced: Callable[[Held], None]) -> None:
        self._displaced = displaced
        self._lock = threading.Lock()
        self._held: dict[str, Held] = {}
        self._jobs: dict[str, Job] = {}
        self._since: dict[Held, float] = {}  #: when it was claimed here, by the clock that counts sleep
        self._stored: dict[Held, tuple[int, int]] = {}
        self._said: dict[Held, Progress] = {}
        self._ends: deque[End] = deque()
        self._asking: set[str] = set()

    def asks(self, nonce: str) -> None:
        """A claim is on its way, until `add` or `asked`: what comes of it is ours, though it is not held yet."""
        with self._lock:
            self._asking.add(nonce)

    def asked(self, nonce: str) -> None:
        """Nothing came of that claim, or nobody listens for it any more."""
        with self._lock:
            self._asking.discard(nonce)

    def asking(self) -> list[str]:
        """The nonces of all claims on their way."""
        with self._lock:
            return list(self._asking)

    def add(self, held: Held, job: Job | None = None) -> None:
        """Hold an attempt from now on: the next pulse renews it. An older one at the same job is renewed no more."""
        with self._lock:
            self._asking.discard(held.nonce)
            other = self._held.get(held.job)
            stale = other is not None and other.number > held.number
            if not stale:
                self._held[held.job] = held
                if job is not None:
                    self._jobs[held.job] = job
        if other is not None and other.nonce != held.nonce:
            self._displaced(held if stale else other)

    @contextmanager
    def of(self, held: Held, job: Job | None = None, *, since: float | None = None) -> Iterator[None]:
        """Hold an attempt, claimed at `since`, if that is known; let go of it when its end has been said."""
        self.add(held, job)
        if since is not None:
            self._since[held] = since
        try:
            yield
        finally:
            with self._lock:
                if self._held.get(held.job) == held:
                    del self._held[held.job]
                    self._jobs.pop(held.job, None)
                    self._stored.pop(held, None)
                    self._said.pop(held, None)
                self._since.pop(held, None)

    def all(self) -> list[Held]:
        """What is held now."""
        with self._lock:
            return list(self._held.values())

    def says(self, held: Held, progress: Progress) -> None:
        """An attempt says how far it is: from now on it is named with that."""
        with self._lock:
            if self._held.get(held.job) == held:
                self._said[held] = progress

    def telling(self, held: Held) -> Held:
        """The same attempt with what it said last."""
        said = self._said.get(held)
        return held if said is None else replace(held, progress=said.fraction, note=said.message)

    def aged(self) -> list[Held]:
        """The same, with their ages where they are known."""
        now = elapsed()
        with self._lock:
            return [
                replace(held, age=now - self._since[held]) if held in self._since else held
                for held in self._held.values()
            ]

    def get(self, job: str) -> Held | None:
        """The attempt at this job, if one is held."""
        with self._lock:
            return self._held.get(job)

    def job(self, id: str) -> Job | None:
        """The job as it was claimed, if it is held or has just ended here."""
        with self._lock:
            return self._jobs.get(id) or next((end.job for end in self._ends if end.held.job == id), None)

    # ── for a store that may have forgotten its last second ──

    def has_ended(self, held: Held, outcome: Outcome, chunks: Sequence[Chunk]) -> None:
        """The store has heard this end."""
        now = time.monotonic()
        with self._lock:
            self._ends.append(End(held, outcome, chunks, self._jobs.get(held.job), now))
            while self._ends[0].at < now - REMEMBERED:
                self._ends.popleft()

    def ends(self) -> list[End]:
        """What ended in the last seconds."""
        oldest = time.monotonic() - REMEMBERED
        with self._lock:
            return [end for end in self._ends if end.at >= oldest]

    def is_stored(self, held: Held, ends: tuple[int, int]) -> None:
        """The store has so much of this attempt's output; what it lacks is to be sent again."""
        with self._lock:
            if self._held.get(held.job) == held:
                self._stored[held] = ends

    def take_stored(self, held: Held) -> tuple[int, int] | None:
        """What `is_stored` said, once."""
        with self._lock:
            return self._stored.pop(held, None)
