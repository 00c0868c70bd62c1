"""A machine as a card shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import relayq
from relayq.heartbeats import QUARTERS
from relayq.model import Capability, Readings, WorkerInfo, WorkerState
from relayq.monitoring.explaining import absence, state_word


@dataclass(frozen=True, kw_only=True, slots=True)
class CapabilityRow:
    """A program or ability that was looked for."""

    name: str
    version: str | None
    works: bool
    why_not: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PauseRow:
    """Who wants a machine to take nothing new, and until when."""

    until: float | None
    by: str | None
    note: str | None
    draining: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """A known worker. Shares are 0 … 1; what is not known is None."""

    name: str
    system: str
    arch: str
    model: str | None
    version: str
    outdated: bool  #: it runs another version than whoever tells this
    online: bool
    state: str  #: one or a few words
    why: str | None  #: it takes nothing new, or is away
    since: float | None  #: for how long it has been so
    seen_at: float
    slots: int
    running: int
    labels: tuple[str, ...]
    capabilities: tuple[CapabilityRow, ...]
    cpu: float | None
    memory: float | None
    disk: float | None
    load: float | None
    temperature: float | None  #: °C
    throttled: str | None  #: what slows it down
    heartbeats: tuple[float | None, ...]  #: of the last 24 h, the share of each quarter hour it was there; oldest first
    pause: PauseRow | None


def machine(worker: WorkerState, now: float, heartbeats: Sequence[float | None] = ()) -> Machine:
    """The card of a worker; `heartbeats` as the store has them."""
    info = worker.info
    system, _, arch = info.system.partition(" ")
    pause, read = worker.paused, worker.readings if worker.online else Readings()
    return Machine(
        name=info.name,
        system=system,
        arch=arch,
        model=str(info.facts["model"]) if "model" in info.facts else None,
        version=info.version,
        outdated=bool(info.version) and info.version != relayq.__version__,
        online=worker.online,
        state=state_word(worker, now),
        why=absence(worker, now) if worker.resting or not worker.online else None,
        since=_since(worker),
        seen_at=worker.seen_at,
        slots=info.slots,
        running=worker.running,
        labels=info.labels,
        capabilities=_capabilities(info),
        cpu=read.cpu,
        memory=read.memory,
        disk=read.disk,
        load=worker.load,
        temperature=read.temperature,
        throttled=read.throttled,
        heartbeats=tuple(heartbeats) or (None,) * QUARTERS,
        pause=PauseRow(until=pause.until, by=pause.by, note=pause.note, draining=pause.draining) if pause else None,
    )


def _capabilities(info: WorkerInfo) -> tuple[CapabilityRow, ...]:
    found = info.found or tuple(
        Capability(name=name) for name in info.capabilities
    )  # the last release tells names only
    return tuple(
        CapabilityRow(name=each.name, version=each.version, works=each.works, why_not=each.why_not) for each in found
    )


def _since(worker: WorkerState) -> float | None:
    if not worker.online:
        return worker.seen_at or None
    if worker.quarantined:
        return worker.quarantined.since
    return worker.paused.since if worker.paused else None
