"""What workers ask: to register, claim, finish, renew, append."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from relayq import heartbeats, lifecycle
from relayq.errors import BrokerUnavailable, NameTaken, StaleAttempt
from relayq.lifecycle import Event, Finished, GivenBack
from relayq.model import (
    Bell,
    Change,
    Chunk,
    Held,
    Job,
    Outcome,
    Pulse,
    Quarantine,
    Readings,
    Reason,
    Reprobe,
    WorkerInfo,
)
from relayq.store import Announced, Claim, Finish, Registered
from relayq.store.kept_output import KeptOutput
from relayq.store.memory.claims import Claims
from relayq.store.memory.tables import Worker, is_current


class WorkerCalls(Claims):
    """The worker's half of the contract; `Store` says what each does."""

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
            lanes, lacks = (there.lanes, there.lacks) if there else (set(), {})
            new = Worker(info, bell, now, now, lanes, lacks)
            if there is not None:
                new.paused, new.quarantined = there.paused, there.quarantined
                new.misstarts, new.left_out = there.misstarts, there.left_out
                new.readings, new.beats, new.known_since = there.readings, there.beats, there.known_since
                new.reprobe, new.rung_at = there.reprobe, there.rung_at
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

    def serve(
        self,
        worker: str,
        lanes: Iterable[str],
        *,
        all: bool,
        version: int | None = None,
        lacks: Mapping[str, int] = MappingProxyType({}),
    ) -> int:
        with self._lock:
            lanes = list(lanes)
            if worker in self._workers:
                there = self._workers[worker]
                if all and version in (None, self._lanes_version):
                    there.lanes, there.lacks = set(), {}
                self._see_lanes(lanes)
                there.lanes |= set(lanes)
                there.lacks |= {lane: lacks.get(lane, 0) for lane in lanes}
                if all:
                    self._ring_for_what_waits(there, self._now())
            return self._lanes_version

    def describe(self, info: WorkerInfo) -> None:
        with self._lock:
            there = self._checked(info.name, info.incarnation)
            there.info, there.reprobe = info, None

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
                if job is not None and is_current(job, h):
                    attempt = replace(job.attempts[-1], kept_until=now + lifecycle.HANDING_OVER)
                    self._jobs[h.job] = replace(job, attempts=(*job.attempts[:-1], attempt))
                    kept[h] = max(self._renew(h, now), lifecycle.HANDING_OVER)
            return kept

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
            if chunks and is_current(job, held):
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

    def _beat(self, there: Worker, now: float) -> None:
        """The time since the last pulse was time it was there, unless it was away or had said goodbye."""
        quarter = heartbeats.quarter_of(now)
        there.known_since = quarter if there.known_since is None else there.known_since
        if self._online(there, now):
            more = min(max(now - there.seen_at, 0.0), self.lease_floor)
            there.beats[quarter] = there.beats.get(quarter, 0.0) + more
            there.beats = {q: s for q, s in there.beats.items() if quarter - q < heartbeats.QUARTERS}

    def pulse(
        self,
        worker: str,
        incarnation: str,
        held: Sequence[Held] = (),
        *,
        load: float | None = None,
        readings: Readings | None = None,
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
            self._beat(there, now)
            there.readings = readings or there.readings
            there.seen_at, there.left = now, False
            there.load, there.held_back, unheard = load, held_back, there.rings
            terms, superseded, cancelled = {}, [], []
            for h in held:
                job = self._jobs.get(h.job)
                if job is None or not is_current(job, h):
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
                reprobe=there.reprobe,
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
            if job is None or not is_current(job, held):
                raise StaleAttempt(f"attempt {held.number} of job {held.job} no longer counts")
            self._append(job, held.number, chunks)
            self._hear_progress(held)
            self._tell(self._watchers.get((job.id, True), ()), Change(job=job.id, what="output"))

    def _give_back_quietly(self, job: Job, reason: Reason, now: float, *, lost: bool) -> None:
        attempt = job.attempts[-1]
        event = GivenBack(attempt.number, attempt.nonce, Outcome(reason=reason), lost)
        self._save(lifecycle.apply(event, job, now))

    def reprobe(self, worker: str, programs: Sequence[str] = ()) -> None:
        with self._lock:
            self._named(worker).reprobe = Reprobe(since=self._now(), programs=tuple(programs))

    def release(self, worker: str) -> None:
        with self._lock:
            there = self._named(worker)
            there.quarantined, there.misstarts, there.left_out = None, 0, {}
            self._ring_for_what_waits(there, self._now())
