"""What clients ask: to submit, read, wait, and care for workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from relayq import heartbeats, lifecycle
from relayq.errors import IdTaken, Refused
from relayq.lifecycle import LEASE_FLOOR, CancelRequested
from relayq.model import Change, Event, Job, JobSpec, Output, Pause, Queue, State, WorkerState
from relayq.store import KEEP, OUTPUT_BUDGET, NewJob, Unserved
from relayq.store.kept_output import KeptOutput
from relayq.store.memory.workers import WorkerCalls


class MemoryStore(WorkerCalls):
    """A store without a broker; safe to share between threads. `clock` replaces the time (tests)."""

    def __init__(
        self,
        *,
        lease_floor: float = LEASE_FLOOR,
        keep: float = KEEP,
        output_budget: int = OUTPUT_BUDGET,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(lease_floor=lease_floor, keep=keep, output_budget=output_budget, clock=clock)
        self._look_for_epoch(restarted=True)

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
        oldest: bool = False,
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
        return sorted(jobs, key=lambda job: job.place, reverse=not oldest)[:limit]

    def lately(self, limit: int = 20) -> list[Job]:
        with self._lock:
            return [self._jobs[id] for id in self._lately[:limit] if id in self._jobs]

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
                    readings=w.readings,
                    reprobe=w.reprobe,
                )
                for name, w in sorted(self._workers.items())
            ]

    def heartbeats(self) -> dict[str, tuple[float | None, ...]]:
        with self._lock:
            now = self._now()
            return {name: heartbeats.day(w.beats, w.known_since, now) for name, w in sorted(self._workers.items())}

    def queues(self) -> list[Queue]:
        with self._lock:
            found = []
            for lane in sorted(self._lanes):
                jobs = [job for job in self._jobs.values() if job.lane == lane and job.state is State.QUEUED]
                line = [job for job in jobs if job.not_before is None]
                first = min(line, key=lambda job: job.order, default=None)
                found.append(Queue(lane=lane, waiting=len(line), oldest_at=first.place if first else None))
            return found

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

    def events(self, cursor: str, timeout: float, limit: int = 1000) -> tuple[str, list[Event]]:
        with self._lock:
            start = len(self._events) if cursor == "$" else int(cursor)
            self._lock.wait_for(lambda: len(self._events) > start, timeout)
            happened = self._events[start : start + limit]
            return str(start + len(happened)), happened

    def events_kept(self) -> tuple[str, str]:
        with self._lock:
            return "0", str(len(self._events))

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
