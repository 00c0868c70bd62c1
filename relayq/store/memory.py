"""The store in this process, through `lifecycle`: the twin that says what the Lua scripts of RedisStore must do."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from relayq import lifecycle
from relayq.errors import (
    BrokerUnavailable,
    IdTaken,
    InvalidTransition,
    NameTaken,
    NoSuchWorker,
    Refused,
    Replaced,
    StaleAttempt,
    UnknownJob,
)
from relayq.lifecycle import (
    LEASE_FLOOR,
    Abandoned,
    CancelRequested,
    Claimed,
    Event,
    Finished,
    GivenBack,
    LeaseExpired,
    Renewed,
)
from relayq.model import (
    Attempt,
    Bell,
    Change,
    Chunk,
    Held,
    Job,
    JobSpec,
    Outcome,
    Output,
    Pause,
    Pulse,
    Quarantine,
    Reason,
    State,
    WorkerInfo,
    WorkerState,
)
from relayq.store import KEEP, OUTPUT_BUDGET, Announced, Claim, Finish, NewJob, Registered, Unserved
from relayq.store.kept_output import KeptOutput


@dataclass
class _Worker:
    info: WorkerInfo
    bell: Bell
    seen_at: float
    contact_since: float
    lanes: set[str] = field(default_factory=set)
    rings: int = 0  #: waiting in its queue
    load: float | None = None
    paused: Pause | None = None
    quarantined: Quarantine | None = None
    held_back: str | None = None
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

    def likes(self, prefer: Sequence[str]) -> int:
        """How many of the wished-for words it is, or has."""
        return sum(1 for word in prefer if word == self.info.name or word in self.info.offers)


class MemoryStore:
    """A store without a broker; safe to share between threads. `clock` replaces the time (tests)."""

    def __init__(
        self,
        *,
        lease_floor: float = LEASE_FLOOR,
        keep: float = KEEP,
        output_budget: int = OUTPUT_BUDGET,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.lease_floor = lease_floor
        self.submitted_in = 0
        self._keep = keep
        self._budget = output_budget
        self._clock = clock
        self._lock = threading.Condition(threading.RLock())
        self._jobs: dict[str, Job] = {}
        self._workers: dict[str, _Worker] = {}
        self._lanes: set[str] = set()
        self._lanes_version = 0
        self._leases: dict[str, float] = {}
        self._place = 0.0
        self._output: dict[tuple[str, int], KeptOutput] = {}
        self._owners: dict[str, str] = {}
        self._watchers: dict[tuple[str, bool], set[str]] = defaultdict(set)
        self._inboxes: dict[str, list[Change]] = defaultdict(list)
        self._events: list[tuple[str, str, str]] = []
        self._replies: dict[str, float] = {}
        self._patience: dict[str, float] = {}  #: waiting job → end of its queue_timeout
        self._epoch = 0
        self._pulse_at: float | None = None
        self._settled_at = 0.0
        self._silent: set[str] = set()
        self._look_for_epoch(restarted=True)

    # ── submitting ──

    def submit(self, jobs: Sequence[NewJob], *, inbox: str | None = None) -> list[Job]:
        with self._lock:
            for new in jobs:
                there = self._jobs.get(new.id)
                if there is not None and there.spec != new.spec:
                    raise IdTaken(f"another job already has the id {new.id}; choose another, or none")
            fresh = [new for new in jobs if new.id not in self._jobs]
            unserved = {n.lane for n in fresh if n.lane != "any" and not n.anyway and not self._servers(n.lane)}
            if unserved:
                raise Unserved(sorted(unserved))
            now = self._now()
            for new in fresh:
                if new.id not in self._jobs:
                    self._add(new, inbox, now)
            self.submitted_in = self._epoch
            for new in fresh:
                self._ring(new.lane, new.spec.prefer)
            return [self._jobs[new.id] for new in jobs]

    def _add(self, new: NewJob, inbox: str | None, now: float) -> None:
        self._place = max(self._clock(), round(self._place + 1e-6, 6))
        self._see_lanes([new.lane])
        if inbox:
            self._owners[new.id] = inbox
        if new.spec.queue_timeout is not None:
            self._patience[new.id] = now + new.spec.queue_timeout
        self._save(
            lifecycle.submitted(
                new.id,
                new.spec,
                new.lane,
                now=now,
                place=self._place,
                retry_of=new.retry_of,
                celery_id=new.celery_id,
            )
        )

    def epoch(self) -> int:
        with self._lock:
            return self._epoch

    def cancel(self, id: str) -> Job:
        with self._lock:
            job, now = self._known(id), self._now()
            self._pass_time(now)
            job = self._jobs[id]
            lease_over = self._leases.get(id, 0.0) <= now
            after = lifecycle.apply(CancelRequested(lease_over), job, now)
            if after != job:
                self._save(after)
            return self._jobs[id]

    # ── a worker's calls ──

    def register(
        self, info: WorkerInfo, bell: Bell, running: Sequence[Held] = (), *, said_at: float | None = None
    ) -> Registered:
        with self._lock:
            if said_at is not None and self._now() - said_at > lifecycle.late_after(self.lease_floor):
                raise BrokerUnavailable("the registration was too long on its way")
            self._look_for_epoch(pulse=True)
            now = self._now()
            there = self._workers.get(info.name)
            if there is not None and there.info.identity != info.identity:
                if self._online(there, now):
                    raise NameTaken(f"another machine is registered as {info.name} and is online")
                if self._holding(info.name):
                    raise NameTaken(f"another machine is registered as {info.name} and still holds a job")
            lanes = there.lanes if there else set()
            new = _Worker(info, bell, now, now, lanes)
            if there is not None:
                new.paused, new.quarantined = there.paused, there.quarantined
                new.misstarts, new.left_out = there.misstarts, there.left_out
            self._workers[info.name] = new
            adopted: dict[str, Held] = {}  # of two attempts at one job the later may have superseded the earlier
            for held in running:
                if self._announced(info.name, held, now):
                    job = self._jobs[held.job]
                    attempt = replace(job.attempts[-1], worker=info.name)
                    self._jobs[job.id] = replace(job, attempts=(*job.attempts[:-1], attempt))
                    self._renew(held, now)
                    adopted[job.id] = held
            self._has_announced(self._workers[info.name])
            for job in self._holding(info.name):
                if job.id not in adopted:
                    self._give_back_quietly(job, Reason.KILLED, now, lost=True)
            self._see_lanes(["any"])
            return Registered(
                now=now,
                adopted=tuple(adopted.values()),
                lanes=tuple(sorted(self._lanes)),
                lanes_version=self._lanes_version,
            )

    def serve(self, worker: str, lanes: Iterable[str], *, all: bool, version: int | None = None) -> int:
        with self._lock:
            lanes = list(lanes)
            if worker in self._workers:
                replaces = all and version in (None, self._lanes_version)
                self._see_lanes(lanes)
                self._workers[worker].lanes = set(lanes) | (set() if replaces else self._workers[worker].lanes)
                if all:
                    self._ring_for_what_waits(self._workers[worker], self._now())
            return self._lanes_version

    def lanes(self) -> tuple[int, tuple[str, ...]]:
        with self._lock:
            return self._lanes_version, tuple(sorted(self._lanes))

    def leave(self, worker: str, incarnation: str, held: Sequence[Held] = ()) -> dict[Held, float]:
        with self._lock:
            now = self._now()
            there = self._checked(worker, incarnation)
            there.seen_at, there.left = now, True
            kept = {}
            for h in held:
                job = self._jobs.get(h.job)
                if job is not None and _is_current(job, h):
                    attempt = replace(job.attempts[-1], kept_until=now + lifecycle.HANDING_OVER)
                    self._jobs[h.job] = replace(job, attempts=(*job.attempts[:-1], attempt))
                    kept[h] = max(self._renew(h, now), lifecycle.HANDING_OVER)
            return kept

    def remove_worker(self, worker: str) -> None:
        with self._lock:
            there = self._named(worker)
            if self._online(there, self._now()) or self._holding(worker):
                raise Refused(f"{worker} is online or still holds a job: stop it first, then remove it")
            del self._workers[worker]

    def pause(
        self,
        worker: str,
        *,
        seconds: float | None = None,
        draining: bool = False,
        by: str | None = None,
        note: str | None = None,
    ) -> None:
        with self._lock:
            now = self._now()
            until = None if seconds is None else now + seconds
            self._named(worker).paused = Pause(since=now, until=until, draining=draining, by=by, note=note)

    def resume(self, worker: str) -> None:
        with self._lock:
            self._named(worker).paused = None
            self.release(worker)

    def release(self, worker: str) -> None:
        with self._lock:
            there = self._named(worker)
            there.quarantined, there.misstarts, there.left_out = None, 0, {}
            self._ring_for_what_waits(there, self._now())

    def claim(self, worker: str, incarnation: str, nonce: str, *, repeat: bool = False) -> Claim | None:
        with self._lock:
            return self._claim(self._checked(worker, incarnation), nonce, repeat)

    def finish(
        self,
        worker: str,
        incarnation: str,
        held: Held,
        outcome: Outcome,
        chunks: Sequence[Chunk] = (),
        *,
        next_nonce: str | None = None,
        repeat: bool = False,
    ) -> Finish:
        with self._lock:
            event = Finished(held.number, held.nonce, outcome)
            return self._end_attempt(worker, incarnation, held, event, chunks, next_nonce, repeat)

    def give_back(self, worker: str, incarnation: str, held: Held, outcome: Outcome, *, lost: bool) -> Finish:
        with self._lock:
            event = GivenBack(held.number, held.nonce, outcome, lost)
            return self._end_attempt(worker, incarnation, held, event, (), None, False)

    def _end_attempt(
        self,
        worker: str,
        incarnation: str,
        held: Held,
        event: Event,
        chunks: Sequence[Chunk],
        next_nonce: str | None,
        repeat: bool,
    ) -> Finish:
        heard = True
        job = self._jobs.get(held.job)
        try:
            if job is None:
                raise StaleAttempt("no such job")
            if chunks and _is_current(job, held):
                self._append(job, held.number, chunks)
            after = lifecycle.apply(event, job, self._now())
            if after != job:
                self._leases.pop(job.id, None)
                self._note_start(job, event, worker)
                self._save(after)
        except StaleAttempt:
            heard = False
        state = self._jobs[held.job].state if job else None
        following = None
        there = self._workers.get(worker)
        if next_nonce is not None and there is not None and there.info.incarnation == incarnation:
            following = self._claim(there, next_nonce, repeat)
        return Finish(heard=heard, state=state, next=following)

    def _note_start(self, job: Job, event: Event, worker: str) -> None:
        """A worker that cannot start several different jobs in a row is quarantined."""
        if isinstance(event, Finished):
            there = self._workers.get(worker)
            if there is not None and event.outcome.reason is not Reason.NOT_STARTED:
                there.misstarts = 0
        elif isinstance(event, GivenBack) and event.outcome.reason is Reason.NOT_STARTED:
            there, now = self._workers.get(job.attempts[-1].worker), self._now()
            if there is None:
                return
            there.left_out[job.id] = now + lifecycle.LEFT_OUT
            there.misstarts += 1
            if there.misstarts >= lifecycle.MISSTARTS and there.quarantined is None:
                why = event.outcome.message or "it could not start several jobs"
                there.quarantined = Quarantine(since=now, why=why)

    def pulse(
        self,
        worker: str,
        incarnation: str,
        held: Sequence[Held] = (),
        *,
        load: float | None = None,
        held_back: str | None = None,
        said_at: float | None = None,
        asking: Sequence[str] = (),
    ) -> Pulse:
        with self._lock:
            there = self._checked(worker, incarnation)
            self._look_for_epoch(pulse=True)
            now = self._now()
            there.grants = 0
            if now - there.seen_at > lifecycle.reconcile_after(self.lease_floor):
                there.contact_since = now
            there.seen_at, there.left = now, False
            there.load, there.held_back, unheard = load, held_back, there.rings
            terms, superseded, cancelled = {}, [], []
            for h in held:
                job = self._jobs.get(h.job)
                if job is None or not _is_current(job, h):
                    superseded.append(h.job)
                    continue
                terms[h.job] = self._renew(h, now)
                if job.cancel_requested_at is not None:
                    cancelled.append(h.job)
                self._hear_progress(h)
            timely = said_at is None or now - said_at <= lifecycle.late_after(self.lease_floor)
            for job in self._holding(worker) if timely and there.epoch == self._epoch else ():
                old = job.attempts[-1].claimed_at <= now - lifecycle.reconcile_after(self.lease_floor)
                if job.id not in terms and old and job.attempts[-1].nonce not in asking:
                    self._give_back_quietly(job, Reason.WORKER_STOPPED, now, lost=False)
            self._pass_time(now)
            self._judge_offers(there, now)
            self._sweep(now)
            return Pulse(
                now=now,
                term=terms,
                superseded=tuple(superseded),
                cancelled=tuple(cancelled),
                lanes_version=self._lanes_version,
                work_waiting=self._ring_for_what_waits(there, now),
                quarantined=there.quarantined.why if there.quarantined else None,
                unheard=unheard,
                announce=there.epoch != self._epoch,
                next_due=next((round(at - now, 3) for at, _ in self._due()), None),
            )

    def announce(self, worker: str, incarnation: str, running: Sequence[Held]) -> Announced:
        with self._lock:
            there, now = self._checked(worker, incarnation), self._now()
            stored = {}
            for held in running:
                if self._announced(worker, held, now):
                    self._renew(held, now)
                    kept = self._output.get((held.job, held.number), KeptOutput(0))
                    stored[held.job] = kept.ends
            unknown = tuple(held.job for held in running if held.job not in self._jobs)
            if not unknown:
                self._has_announced(there)
                self._ring_for_what_waits(there, now)
            return Announced(unknown=unknown, stored=stored)

    def append(self, held: Held, chunks: Sequence[Chunk]) -> None:
        with self._lock:
            job = self._jobs.get(held.job)
            if job is None or not _is_current(job, held):
                raise StaleAttempt(f"attempt {held.number} of job {held.job} no longer counts")
            self._append(job, held.number, chunks)
            self._hear_progress(held)
            self._tell(self._watchers.get((job.id, True), ()), Change(job=job.id, what="output"))

    # ── reading ──

    def get(self, ids: Sequence[str]) -> list[Job | None]:
        with self._lock:
            return [self._jobs.get(id) for id in ids]

    def find(self, prefix: str, limit: int = 3) -> list[str]:
        with self._lock:
            return sorted(id for id in self._jobs if id.startswith(prefix))[:limit]

    def page(
        self,
        *,
        states: Iterable[State] = tuple(State),
        worker: str | None = None,
        before: float | None = None,
        since: float | None = None,
        limit: int = 50,
    ) -> list[Job]:
        wanted = set(states)
        with self._lock:
            jobs = [
                job
                for job in self._jobs.values()
                if job.state in wanted
                and (worker is None or any(a.worker == worker for a in job.attempts))
                and (before is None or job.place < before)
                and (since is None or job.place >= since)
            ]
        return sorted(jobs, key=lambda job: -job.place)[:limit]

    def counts(self) -> Mapping[State, int]:
        with self._lock:
            return {state: sum(1 for job in self._jobs.values() if job.state is state) for state in State}

    def output(self, id: str, *, attempt: int | None = None, position: int = 0) -> Output:
        with self._lock:
            job = self._known(id)
            last = job.attempt.number if job.attempt else 0
            number = attempt or last
            kept = self._output.get((id, number), KeptOutput(0))
            ended = job.state.ended or last > number
            return Output(attempt=number, chunks=kept.read(position), next=kept.position, ended=ended)

    def workers(self) -> tuple[float, list[WorkerState]]:
        with self._lock:
            now = self._now()
            return now, [
                WorkerState(
                    info=w.info,
                    online=self._online(w, now),
                    seen_at=w.seen_at,
                    left=w.left,
                    running=len(self._holding(name)),
                    load=w.load,
                    paused=w.paused_at(now),
                    quarantined=w.quarantined,
                    held_back=w.held_back,
                )
                for name, w in sorted(self._workers.items())
            ]

    # ── waiting ──

    def watch(self, inbox: str, ids: Sequence[str], *, output: bool = False) -> list[Job]:
        with self._lock:
            self._pass_time(self._now())
            jobs = [self._jobs[id] for id in ids if id in self._jobs]
            for job in jobs:
                if not job.state.ended:
                    self._watchers[job.id, output].add(inbox)
            return [job for job in jobs if job.state.ended]

    def wait(
        self, inbox: str, cursor: str, timeout: float, known: Mapping[str, JobSpec] = MappingProxyType({})
    ) -> tuple[str, list[Change]]:
        with self._lock:
            self._lock.wait_for(lambda: len(self._inboxes[inbox]) > int(cursor), timeout)
            changes = self._inboxes[inbox][int(cursor) :]
            told = [c if c.job in known else Change(job=c.job, what=c.what) for c in changes]
            return str(int(cursor) + len(changes)), told

    def events(self, cursor: str, timeout: float, limit: int = 1000) -> tuple[str, list[tuple[str, str, str]]]:
        with self._lock:
            start = len(self._events) if cursor == "$" else int(cursor)
            self._lock.wait_for(lambda: len(self._events) > start, timeout)
            happened = self._events[start : start + limit]
            return str(start + len(happened)), happened

    # ── 1.x answers ──

    def replies_due(self, age: float) -> list[Job]:
        with self._lock:
            now = self._now()
            return [self._jobs[id] for id, ended_at in self._replies.items() if ended_at <= now - age]

    def replied(self, id: str) -> None:
        with self._lock:
            self._replies.pop(id, None)

    def close(self) -> None:
        """Nothing to let go of."""

    def restarted(self) -> None:
        """What the first call after a restart of the broker does (tests)."""
        with self._lock:
            self._look_for_epoch(restarted=True)

    def rings(self, worker: str) -> int:
        """How many rings wait in a worker's queue (tests)."""
        with self._lock:
            return self._workers[worker].rings

    # ── underneath ──

    def _now(self) -> float:
        return int(self._clock() * 1000) / 1000

    def _known(self, id: str) -> Job:
        if id not in self._jobs:
            raise UnknownJob(f"no job has the id {id}. See: relayq list")
        return self._jobs[id]

    def _checked(self, worker: str, incarnation: str) -> _Worker:
        there = self._workers.get(worker)
        if there is None or there.info.incarnation != incarnation:
            raise Replaced(f"another process has started as {worker} on this machine; this one stops")
        return there

    def _look_for_epoch(self, *, pulse: bool = False, restarted: bool = False) -> None:
        now, last = self._now(), self._pulse_at
        jumped = pulse and last is not None and (now < last - 1 or now - last > self.lease_floor)
        if restarted or jumped:
            self._begin_epoch(now, last)
        if pulse:
            self._pulse_at = now

    def _begin_epoch(self, now: float, last: float | None) -> None:
        self._epoch += 1
        self._settled_at = now + lifecycle.settling_time(self.lease_floor)
        patience = lifecycle.contact_patience(self.lease_floor)
        self._silent = {
            n for n, w in self._workers.items() if last is not None and not w.left and last - w.seen_at <= patience
        }
        by = min(0.0, now - last) if last is not None else 0.0
        for worker in self._workers.values():
            worker.grants += 1
            worker.contact_since, worker.seen_at = now, min(worker.seen_at, now)
            if worker.paused and worker.paused.until is not None:
                worker.paused = replace(worker.paused, until=worker.paused.until + by)
        for job in list(self._jobs.values()):
            owner = self._workers.get(job.worker or "")
            if job.state is State.RUNNING and (owner is None or owner.grants <= lifecycle.GRANTS):
                attempt = job.attempts[-1]
                self._renew(Held(job=job.id, number=attempt.number, nonce=attempt.nonce), now)
        gap = now - last if last is not None else 0.0
        shift = by if by < 0 else gap if gap > lifecycle.outage_after(self.lease_floor) else 0.0
        self._patience = {id: at + shift for id, at in self._patience.items()}
        if by < 0:
            for job in list(self._jobs.values()):
                if job.not_before is not None:
                    self._jobs[job.id] = replace(job, not_before=round(job.not_before + by, 3))

    def _has_announced(self, worker: _Worker) -> None:
        worker.epoch = self._epoch
        self._silent.discard(worker.info.name)

    def _settling(self, worker: _Worker, now: float) -> bool:
        return worker.epoch != self._epoch or self._unsettled(now)

    def _unsettled(self, now: float) -> bool:
        return now < self._settled_at and bool(self._silent)

    def _announced(self, worker: str, held: Held, now: float) -> bool:
        """Whether the attempt counts; one the store has forgotten is remembered."""
        job = self._jobs.get(held.job)
        if job is None:
            return False
        known = _is_current(job, held)
        try:
            after = lifecycle.apply(lifecycle.Remembered(worker, held.number, held.nonce, held.age), job, now)
        except StaleAttempt:
            return False
        if known:
            self._jobs[job.id] = after
        else:
            self._save(after)
            self._output.pop((job.id, held.number - 2), None)
        return True

    def _named(self, worker: str) -> _Worker:
        if worker not in self._workers:
            raise NoSuchWorker(f'no worker is called "{worker}". See: relayq workers')
        return self._workers[worker]

    def _online(self, worker: _Worker, now: float) -> bool:
        return not worker.left and now - worker.seen_at <= lifecycle.contact_patience(self.lease_floor)

    def _servers(self, lane: str) -> list[_Worker]:
        return [w for w in self._workers.values() if lane in w.lanes]

    def _holding(self, worker: str) -> list[Job]:
        return [j for j in self._jobs.values() if j.state is State.RUNNING and j.worker == worker]

    def _see_lanes(self, lanes: Iterable[str]) -> None:
        for lane in lanes:
            if lane not in self._lanes:
                self._lanes.add(lane)
                self._lanes_version += 1

    def _save(self, job: Job) -> None:
        """Keep a changed job, and tell whoever wants to know."""
        self._jobs[job.id] = job
        if job.state is not State.RUNNING:
            self._leases.pop(job.id, None)
        self._events.append((job.id, job.state, job.worker or ""))
        if job.state is State.QUEUED and job.attempts and job.not_before is None:
            self._ring(job.lane, job.spec.prefer)
        if job.state.ended:
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

    def _give_back_quietly(self, job: Job, reason: Reason, now: float, *, lost: bool) -> None:
        attempt = job.attempts[-1]
        event = GivenBack(attempt.number, attempt.nonce, Outcome(reason=reason), lost)
        self._save(lifecycle.apply(event, job, now))

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

    def _due(self) -> list[tuple[float, str]]:
        due = [(until, f"lease {id}") for id, until in self._leases.items()]
        for job in self._jobs.values():
            if job.state is State.QUEUED and job.not_before is not None:
                due.append((job.not_before, f"retry {job.id}"))
            if job.state is State.QUEUED and not job.attempts and job.spec.queue_timeout is not None:
                due.append((self._patience[job.id], f"queue {job.id}"))
        return sorted(due)

    def _pass_time(self, now: float) -> None:
        if self._unsettled(now):
            return
        for at, entry in self._due():
            what, id = entry.split(" ", 1)
            if at <= now:
                self._turn(what, self._jobs[id], now)

    def _turn(self, what: str, job: Job, now: float) -> None:
        match what:
            case "retry":
                self._jobs[job.id] = replace(job, not_before=None)
                self._ring(job.lane, job.spec.prefer)
            case "lease":
                del self._leases[job.id]
                after = lifecycle.apply(LeaseExpired(), job, now)
                if after != job:
                    self._save(after)
                    self._ring(job.lane, job.spec.prefer)
            case "queue":
                self._save(lifecycle.apply(lifecycle.QueueTimedOut(), job, now))

    def _sweep(self, now: float) -> None:
        for job in list(self._jobs.values()):
            if job.ended_at is not None and job.ended_at <= now - self._keep:
                del self._jobs[job.id]
                for key in [key for key in self._output if key[0] == job.id]:
                    del self._output[key]

    def _claim(self, worker: _Worker, nonce: str, repeat: bool) -> Claim | None:
        name = worker.info.name
        if repeat:
            for job in self._holding(name):
                if job.attempts[-1].nonce == nonce:
                    term = self._renew(Held(job=job.id, number=job.attempts[-1].number, nonce=nonce), self._now())
                    return Claim(job=self._jobs[job.id], term=term)
        now = self._now()
        if self._settling(worker, now):
            return None
        self._pass_time(now)
        while not worker.resting(now) and len(self._holding(name)) < worker.info.slots:
            candidates = [job for job in self._jobs.values() if self._claimable(job, worker, now)]
            if not candidates:
                return None
            # Of a waiting and an offered job with the same place in line, the waiting one goes first.
            best = min(candidates, key=lambda job: (job.order, job.state is State.RUNNING))
            after = lifecycle.apply(Claimed(name, nonce), best, now)
            self._save(after)
            if after.state is State.RUNNING:
                number = after.attempts[-1].number
                self._output.pop((after.id, number - 2), None)
                self._leases[after.id] = now + self.lease_floor
                return Claim(job=after, term=self.lease_floor)
        return None

    def _claimable(self, job: Job, worker: _Worker, now: float) -> bool:
        if job.lane not in worker.lanes or worker.left_out.get(job.id, 0.0) > now:
            return False
        if job.state is State.QUEUED:
            return job.not_before is None
        attempt = job.attempt
        return job.state is State.RUNNING and attempt is not None and self._offered_to(attempt, worker, now)

    def _offered_to(self, attempt: Attempt, worker: _Worker, now: float) -> bool:
        """Only after unbroken contact for as long as that attempt's term."""
        if attempt.offered_at is None or attempt.worker == worker.info.name:
            return False
        patience = lifecycle.lease_term(now - attempt.claimed_at, self.lease_floor)
        return now - worker.contact_since >= patience

    def _judge_offers(self, worker: _Worker, now: float) -> None:
        """Offered jobs that need no taker end: also those which no other machine may run."""
        for job in list(self._jobs.values()):
            attempt = job.attempt
            if job.state is State.RUNNING and attempt is not None and self._offered_to(attempt, worker, now):
                with contextlib.suppress(InvalidTransition):
                    self._save(lifecycle.apply(Abandoned(), job, now))

    def _ring(self, lane: str, prefer: Sequence[str]) -> None:
        now = self._now()
        free = [
            (-w.likes(prefer), -self._free(w), w.info.name, w)
            for w in self._servers(lane)
            if self._online(w, now) and not w.resting(now) and self._free(w) > 0
        ]
        if free:
            min(free)[-1].rings += 1

    def _free(self, worker: _Worker) -> int:
        return worker.info.slots - len(self._holding(worker.info.name)) - worker.rings

    def _ring_for_what_waits(self, worker: _Worker, now: float) -> bool:
        claimable = [job for job in self._jobs.values() if self._claimable(job, worker, now)]
        offered = any(job.state is State.RUNNING for job in claimable)
        waiting = sum(1 for job in claimable if job.state is State.QUEUED) + offered
        free = worker.info.slots - len(self._holding(worker.info.name))
        if worker.resting(now) or free <= 0 or not waiting or self._settling(worker, now):
            return False
        worker.rings += max(0, min(waiting, free) - worker.rings)
        return True


def _is_current(job: Job, held: Held) -> bool:
    try:
        lifecycle.apply(Renewed(held.number, held.nonce), job, 0.0)
    except (StaleAttempt, InvalidTransition):
        return False
    return True
