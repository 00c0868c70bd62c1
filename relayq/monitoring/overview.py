"""Everything at one look: what the home page, `relayq top` and the live events show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relayq.config import mask
from relayq.errors import BrokerUnavailable
from relayq.model import Queue, State, WorkerState
from relayq.monitoring.explaining import absence
from relayq.monitoring.machines import Machine, machine
from relayq.monitoring.rows import JobRow, job_rows
from relayq.placement import requirement
from relayq.store import Store

Heartbeats = Mapping[str, tuple[float | None, ...]]
RUNNING, WAITING, LAST = 50, 50, 20  #: rows shown


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokerRow:
    """The Redis that all nodes share."""

    url: str | None  #: password masked
    online: bool
    error: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Jobs by state."""

    queued: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """One look at the store."""

    now: float  #: by the store's clock
    sentence: str
    broker: BrokerRow
    counts: Counts
    machines: tuple[Machine, ...]
    running: tuple[JobRow, ...]  #: newest first
    waiting: tuple[JobRow, ...]  #: longest waiting first
    last: tuple[JobRow, ...]  #: that have ended, newest first


def overview(store: Store, url: str | None = None, heartbeats: Heartbeats | None = None) -> Overview:
    """How things are, in a handful of round trips (one less with `heartbeats`).

    Raises BrokerUnavailable; see `unreachable`.
    """
    now, workers = store.workers()
    beats = store.heartbeats() if heartbeats is None else heartbeats
    counts, queues = store.counts(), store.queues()
    running = store.page(states=[State.RUNNING], limit=RUNNING) if counts[State.RUNNING] else []
    waiting = store.page(states=[State.QUEUED], limit=WAITING, oldest=True) if counts[State.QUEUED] else []
    last = store.lately(LAST)
    rows = job_rows([*running, *waiting, *last], workers, now)
    return Overview(
        now=now,
        sentence=sentence(workers, queues, counts, now),
        broker=BrokerRow(url=url and mask(url), online=True, error=None),
        counts=Counts(**{str(state): count for state, count in counts.items()}),
        machines=tuple(machine(worker, now, beats.get(worker.info.name, ())) for worker in workers),
        running=rows[: len(running)],
        waiting=rows[len(running) : len(running) + len(waiting)],
        last=rows[len(running) + len(waiting) :],
    )


def unreachable(error: BrokerUnavailable, now: float, url: str | None = None) -> Overview:
    """What can be told while the broker is away: that."""
    return Overview(
        now=now,
        sentence="The broker does not answer",
        broker=BrokerRow(url=url and mask(url), online=False, error=str(error)),
        counts=Counts(),
        machines=(),
        running=(),
        waiting=(),
        last=(),
    )


def sentence(workers: Sequence[WorkerState], queues: Sequence[Queue], counts: Mapping[State, int], now: float) -> str:
    """3 of 3 machines up · 2 running · 5 waiting (1 for mac-mini, which is offline since 02:10)"""
    if not workers:
        waiting = counts[State.QUEUED]
        return "No machine has joined yet" + (f" · {waiting} waiting" if waiting else "")
    up = sum(1 for worker in workers if worker.online)
    parts = [f"{up} of {len(workers)} {'machine' if len(workers) == 1 else 'machines'} up"]
    parts.append(f"{counts[State.RUNNING]} running")
    held = _held_up(workers, queues, now)
    parts.append(f"{counts[State.QUEUED]} waiting" + (f" ({'; '.join(held)})" if held else ""))
    return " · ".join(parts)


def _held_up(workers: Sequence[WorkerState], queues: Sequence[Queue], now: float) -> list[str]:
    """How many wait for a machine that is away or takes nothing new."""
    pinned = Counter[str]()
    for queue in queues:
        if on := requirement(queue.lane)[0]:
            pinned[on] += queue.waiting
    return [
        f"{pinned[w.info.name]} for {w.info.name}, which {absence(w, now)}"
        for w in workers
        if pinned[w.info.name] and (w.resting or not w.online)
    ]
