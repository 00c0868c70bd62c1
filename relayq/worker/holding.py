"""The attempts this worker holds: who runs what, for the pulse to renew and to stop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from relayq.model import Held, JobSpec, OnLost


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


class Holding:
    """Safe to share between the slots and the pulse."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, Held] = {}

    def add(self, held: Held) -> None:
        """Hold an attempt from now on: the next pulse renews it."""
        with self._lock:
            self._held[held.job] = held

    @contextmanager
    def of(self, held: Held) -> Iterator[None]:
        """Hold an attempt; let go of it when its end has been said."""
        self.add(held)
        try:
            yield
        finally:
            with self._lock:
                if self._held.get(held.job) == held:
                    del self._held[held.job]

    def all(self) -> list[Held]:
        """What is held now."""
        with self._lock:
            return list(self._held.values())

    def get(self, job: str) -> Held | None:
        """The attempt at this job, if one is held."""
        with self._lock:
            return self._held.get(job)
