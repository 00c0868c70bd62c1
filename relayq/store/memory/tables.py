"""What the twin keeps: jobs, workers, lanes, leases, output; and how a changed job is saved and told."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from relayq import lifecycle, placement
from relayq.errors import InvalidTransition, NoSuchWorker, Replaced, StaleAttempt, UnknownJob
from relayq.lifecycle import Renewed
from relayq.model import Bell, Change, Chunk, Event, Held, Job, Pause, Quarantine, Readings, Reprobe, State, WorkerInfo
from relayq.store.kept_output import KeptOutput


@dataclass
class Worker:
    """A known worker, and what the twin knows of it."""

    info: WorkerInfo
    bell: Bell
    seen_at: float
    contact_since: float
    lanes: set[str] = field(default_factory=set)
    lacks: dict[str, int] = field(default_factory=dict)  #: lane → what it lacks of its rule
    rings: int = 0  #: waiting in its queue
    rung_at: float | None = None  #: the ring it has not answered yet
    load: float | None = None
    readings: Readings = Readings()  # noqa: RUF009 (frozen)
    beats: dict[int, float] = field(default_factory=dict)  #: quarter hour → seconds it was there
    known_since: int | None = None  #: the first quarter hour
    paused: Pause | None = None
    quarantined: Quarantine | None = None
    held_back: str | None = None
    reprobe: Reprobe | None = None
    left: bool = False  #: it has said goodbye
    epoch: int = 0  #: in which it has said what it runs
    grants: int = 0
    misstarts: int = 0
    left_out: dict[str, float] = field(default_factory=dict)  #: job → until when it is not given that job again

    def resting(self, now: float) -> bool:
        """Whether it takes nothing new."""
        return self.paused_at(now) is not None or self.quarantined is not None or self.held_back is not None

    def paused_at(self, now: float) -> Pause | None:
        """Its pause, unless that is over."""
        return self.paused if self.paused and (self.paused.until is None or now < self.paused.until) else None


class Tables:
    """The state, and the smallest steps. `clock` replaces the time (tests)."""

    def __init__(
        self,
        *,
        lease_floor: float,
        keep: float,
        output_budget: int,
        clock: Callable[[], float],
    ) -> None:
        self.lease_floor = lease_floor
        self.submitted_in = 0
        self._keep = keep
        self._budget = output_budget
        self._clock = clock
        self._lock = threading.Condition(threading.RLock())
        self._jobs: dict[str, Job] = {}
        self._workers: dict[str, Worker] = {}
        self._lanes: set[str] = set()
        self._lanes_version = 0
        self._leases: dict[str, float] = {}
        self._place = 0.0
        self._output: dict[tuple[str, int], KeptOutput] = {}
        self._owners: dict[str, str] = {}
        self._watchers: dict[tuple[str, bool], set[str]] = defaultdict(set)
        self._inboxes: dict[str, list[Change]] = defaultdict(list)
        self._events: list[Event] = []
        self._replies: dict[str, float] = {}
        self._lately: list[str] = []  #: jobs that ended last, newest first
        self._patience: dict[str, float] = {}  #: waiting job → end of its queue_timeout
        self._epoch = 0
        self._pulse_at: float | None = None
        self._settled_at = 0.0
        self._silent: set[str] = set()

    def _now(self) -> float:
        return int(self._clock() * 1000) / 1000

    def _known(self, id: str) -> Job:
        if id not in self._jobs:
            raise UnknownJob(f"no job has the id {id}. See: relayq list")
        return self._jobs[id]

    def _checked(self, worker: str, incarnation: str) -> Worker:
        there = self._workers.get(worker)
        if there is None or there.info.incarnation != incarnation:
            raise Replaced(f"another process has started as {worker} on this machine; this one stops")
        return there

    def _named(self, worker: str) -> Worker:
        if worker not in self._workers:
            raise NoSuchWorker(f'no worker is called "{worker}". See: relayq workers')
        return self._workers[worker]

    def _online(self, worker: Worker, now: float) -> bool:
        return not worker.left and now - worker.seen_at <= lifecycle.contact_patience(self.lease_floor)

    def _servers(self, lane: str) -> list[Worker]:
        return [w for w in self._workers.values() if lane in w.lanes]

    def _holding(self, worker: str) -> list[Job]:
        return [j for j in self._jobs.values() if j.state is State.RUNNING and j.worker == worker]

    def _see_lanes(self, lanes: Iterable[str]) -> None:
        for lane in lanes:
            if lane not in self._lanes:
                self._lanes.add(lane)
                self._lanes_version += 1

    def _save(self, job: Job, *, lost: bool = False) -> None:
        """Keep a changed job, and tell whoever wants to know."""
        self._jobs[job.id] = job
        if job.state is not State.RUNNING:
            self._leases.pop(job.id, None)
        self._events.append(Event(job.id, job.state, job.worker or "", self._now(), lost))
        if job.state is State.QUEUED and job.attempts and job.not_before is None:
            self._ring(job.lane, job.spec.prefer)
        if job.state.ended:
            self._lately = [job.id, *self._lately[:99]]
            if job.celery_id:
                self._replies[job.id] = job.ended_at or 0.0
            last = self._output.get((job.id, job.attempt.number)) if job.attempt else None
            owner = {self._owners[job.id]} if job.id in self._owners else set()
            change = Change(job=job.id, what=job.state, record=job, chunks=last.read(0) if last else ())
            watchers = self._watchers.pop((job.id, False), set()) | self._watchers.pop((job.id, True), set())
            self._tell(watchers | owner, change)
        self._lock.notify_all()

    def _tell(self, inboxes: Iterable[str], change: Change) -> None:
        for inbox in inboxes:
            self._inboxes[inbox].append(change)
        self._lock.notify_all()

    def _renew(self, held: Held, now: float) -> float:
        job = self._jobs[held.job]
        self._jobs[held.job] = lifecycle.apply(Renewed(held.number, held.nonce), job, now)
        term = lifecycle.lease_term(now - job.attempts[-1].claimed_at, self.lease_floor)
        kept = job.attempts[-1].kept_until
        self._leases[held.job] = max(now + term, min(kept, now + lifecycle.HANDING_OVER) if kept else 0.0)
        return term

    def _hear_progress(self, held: Held) -> None:
        if held.progress is not None or held.note is not None:
            told = lifecycle.Told(held.number, held.nonce, held.progress, held.note)
            self._jobs[held.job] = lifecycle.apply(told, self._jobs[held.job], self._now())

    def _append(self, job: Job, number: int, chunks: Sequence[Chunk]) -> None:
        kept = self._output.setdefault((job.id, number), KeptOutput(job.spec.max_output_bytes))
        for chunk in chunks:
            kept.add(chunk)
        while sum(kept.bytes for kept in self._output.values()) > self._budget:
            ended = sorted((j.ended_at, j.id) for j in self._jobs.values() if j.state.ended and self._output_of(j.id))
            if not ended:
                return
            oldest = ended[0][1]
            for key in self._output_of(oldest):
                del self._output[key]
            self._jobs[oldest] = replace(self._jobs[oldest], output_dropped=True)

    def _output_of(self, id: str) -> list[tuple[str, int]]:
        return [key for key, kept in self._output.items() if key[0] == id and kept.bytes]

    def _ring(self, lane: str, prefer: Sequence[str]) -> None:
        now = self._now()
        free = [
            w
            for w in self._servers(lane)
            if self._online(w, now) and not w.resting(now) and self._free(w) > 0 and not self._held_off(w, lane, now)
        ]
        if free:
            first = min(free, key=lambda w: placement.turn(w.info, lane, prefer, self._free(w)))
            first.rings += 1
            first.rung_at = now if first.rung_at is None else first.rung_at

    def _held_off(self, worker: Worker, lane: str, now: float) -> bool:
        """Whether a rule lets others go before this worker."""
        mine = worker.lacks.get(lane, 0)
        return any(
            placement.goes_before(w.lacks.get(lane, 0), mine, now - w.seen_at <= placement.RECENT)
            for w in self._servers(lane)
        )

    def _free(self, worker: Worker) -> int:
        return worker.info.slots - len(self._holding(worker.info.name)) - worker.rings


def is_current(job: Job, held: Held) -> bool:
    try:
        lifecycle.apply(Renewed(held.number, held.nonce), job, 0.0)
    except (StaleAttempt, InvalidTransition):
        return False
    return True
