"""One look at the store: what status and workers tell fits together and costs four round trips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from relayq.model import Job, State, WorkerState
from relayq.monitoring import WorkerStatus, worker_status
from relayq.store import Store

WAITING = 1000  #: waiting jobs looked at
RUNNING = 200  #: running jobs looked at


class Snapshot:
    """Raises BrokerUnavailable when made, so that a broker that is away is never taken for one without workers."""

    def __init__(self, store: Store) -> None:
        self.now, self.states = store.workers()
        self._counts = store.counts()
        #: newest first
        self.waiting = store.page(states=[State.QUEUED], limit=WAITING) if self._counts[State.QUEUED] else []
        self.running = store.page(states=[State.RUNNING], limit=RUNNING) if self._counts[State.RUNNING] else []

    def status(self) -> WorkerStatus:
        """As `relayq.worker_status()`."""
        return worker_status(cast("Store", self))

    # ── the calls `worker_status` makes ──

    def workers(self) -> tuple[float, list[WorkerState]]:
        """As seen."""
        return self.now, self.states

    def counts(self) -> Mapping[State, int]:
        """As seen."""
        return self._counts

    def page(self, **_: Any) -> list[Job]:
        """As seen."""
        return self.waiting
