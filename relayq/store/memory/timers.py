"""What happens by itself: retries, ends of leases and of patience, forgetting (`lua/lib/transitions.lua`)."""

from __future__ import annotations

from dataclasses import replace

from relayq import lifecycle
from relayq.lifecycle import LeaseExpired
from relayq.model import Job, State
from relayq.store.memory.epochs import Epochs


class Timers(Epochs):
    """Time passes with the calls of workers, as in Redis."""

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
                    self._save(after, lost=True)
                    self._ring(job.lane, job.spec.prefer)
            case "queue":
                self._save(lifecycle.apply(lifecycle.QueueTimedOut(), job, now))

    def _sweep(self, now: float) -> None:
        for job in list(self._jobs.values()):
            if job.ended_at is not None and job.ended_at <= now - self._keep:
                del self._jobs[job.id]
                for key in [key for key in self._output if key[0] == job.id]:
                    del self._output[key]
