"""A new epoch: the store is another than before, or its clock jumped (`lua/lib/epochs.lua`)."""

from __future__ import annotations

from dataclasses import replace

from relayq import lifecycle
from relayq.errors import StaleAttempt
from relayq.model import Held, State
from relayq.store.memory.tables import Tables, Worker, is_current


class Epochs(Tables):
    """Its beginning, and the workers' announcements."""

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
                worker.paused = replace(worker.paused, until=round(worker.paused.until + by, 3))
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

    def _has_announced(self, worker: Worker) -> None:
        worker.epoch = self._epoch
        self._silent.discard(worker.info.name)

    def _settling(self, worker: Worker, now: float) -> bool:
        return worker.epoch != self._epoch or self._unsettled(now)

    def _unsettled(self, now: float) -> bool:
        return now < self._settled_at and bool(self._silent)

    def _announced(self, worker: str, held: Held, now: float) -> bool:
        """Whether the attempt counts; one the store has forgotten is remembered."""
        job = self._jobs.get(held.job)
        if job is None:
            return False
        known = is_current(job, held)
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
