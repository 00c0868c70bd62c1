"""Who gets which job, and who is rung for what waits (`lua/lib/claims.lua`)."""

from __future__ import annotations

import contextlib

from relayq import lifecycle, placement
from relayq.errors import InvalidTransition
from relayq.lifecycle import Abandoned, Claimed
from relayq.model import Attempt, Held, Job, State
from relayq.store import Claim
from relayq.store.memory.tables import Worker
from relayq.store.memory.timers import Timers


class Claims(Timers):
    """By lane, order, contact and free slots."""

    def _claim(self, worker: Worker, nonce: str, repeat: bool) -> Claim | None:
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
        left: set[str] = set()  #: lanes of light work that is left to a lighter machine
        while not worker.resting(now) and len(self._holding(name)) < worker.info.slots:
            jobs = (job for job in self._jobs.values() if job.lane not in left)
            candidates = [job for job in jobs if self._claimable(job, worker, now)]
            if not candidates:
                worker.rung_at = None
                return None
            # Of a waiting and an offered job with the same place in line, the waiting one goes first.
            best = min(candidates, key=lambda job: (job.order, job.state is State.RUNNING))
            if best.state is State.QUEUED and self._leaves(worker, best, now):
                left.add(best.lane)
                continue
            after = lifecycle.apply(Claimed(name, nonce), best, now)
            self._save(after)
            if after.state is State.RUNNING:
                worker.rung_at = None
                number = after.attempts[-1].number
                self._output.pop((after.id, number - 2), None)
                self._leases[after.id] = now + self.lease_floor
                return Claim(job=after, term=self.lease_floor)
        return None

    def _claimable(self, job: Job, worker: Worker, now: float) -> bool:
        if (
            job.lane not in worker.lanes
            or worker.left_out.get(job.id, 0.0) > now
            or self._held_off(worker, job.lane, now)
        ):
            return False
        if job.state is State.QUEUED:
            return job.not_before is None
        attempt = job.attempt
        return job.state is State.RUNNING and attempt is not None and self._offered_to(attempt, worker, now)

    def _leaves(self, worker: Worker, job: Job, now: float) -> bool:
        """Whether lighter machines have just been rung, and have room for all light work that waits."""
        mine = placement.heaviness(worker.info, job.lane)
        if placement.liked(worker.info, job.spec.prefer):
            return False
        lighter = [
            w
            for w in self._servers(job.lane)
            if w.rung_at is not None
            and abs(now - w.rung_at) < lifecycle.ring_patience(self.lease_floor)
            and self._online(w, now)
            and not w.resting(now)
            and placement.heaviness(w.info, job.lane) < mine
        ]
        room = sum(max(0, w.info.slots - len(self._holding(w.info.name))) for w in lighter)
        lanes = set().union(*(w.lanes for w in lighter))
        waiting = (j for j in self._jobs.values() if j.state is State.QUEUED and j.not_before is None)
        return sum(1 for j in waiting if j.lane in lanes) <= room and bool(lighter)

    def _offered_to(self, attempt: Attempt, worker: Worker, now: float) -> bool:
        """Only after unbroken contact for as long as that attempt's term."""
        if attempt.offered_at is None or attempt.worker == worker.info.name:
            return False
        patience = lifecycle.lease_term(now - attempt.claimed_at, self.lease_floor)
        return now - worker.contact_since >= patience

    def _judge_offers(self, worker: Worker, now: float) -> None:
        """Offered jobs that need no taker end: also those which no other machine may run."""
        for job in list(self._jobs.values()):
            attempt = job.attempt
            if job.state is State.RUNNING and attempt is not None and self._offered_to(attempt, worker, now):
                with contextlib.suppress(InvalidTransition):
                    self._save(lifecycle.apply(Abandoned(), job, now))

    def _ring_for_what_waits(self, worker: Worker, now: float) -> bool:
        claimable = [job for job in self._jobs.values() if self._claimable(job, worker, now)]
        offered = any(job.state is State.RUNNING for job in claimable)
        waiting = sum(1 for job in claimable if job.state is State.QUEUED) + offered
        free = worker.info.slots - len(self._holding(worker.info.name))
        if worker.resting(now) or free <= 0 or not waiting or self._settling(worker, now):
            return False
        if (missing := min(waiting, free) - worker.rings) > 0:
            worker.rings += missing
            worker.rung_at = now if worker.rung_at is None else worker.rung_at
        return True
