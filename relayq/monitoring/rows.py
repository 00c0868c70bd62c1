"""A job in one row: what a list shows of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from relayq.lifecycle import left_out_until
from relayq.model import Job, State, WorkerState
from relayq.monitoring.explaining import explain, progress_of
from relayq.placement import lane_for, place, why_not
from relayq.progress import Progress

SURE_PROGRESS = 0.01  #: below this share of the work, how long the rest takes cannot be told


@dataclass(frozen=True, kw_only=True, slots=True)
class WayOut:
    """Something its owner can do about a job that waits."""

    verb: str  #: run-elsewhere, resume or cancel
    label: str
    worker: str | None = None  #: whom to resume


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRow:
    """A job in short. Instants are seconds since the epoch by the store's clock; what is not known is None."""

    id: str
    title: str
    kind: str
    state: str
    reason: str | None
    worker: str | None
    priority: int
    submitted_at: float
    started_at: float | None
    ended_at: float | None
    exit_code: int | None
    signal: int | None
    attempts: int
    progress: float | None  #: 0 … 1
    note: str | None  #: what a running job says of itself
    eta: float | None  #: seconds until it is done, if it goes on as until now
    explain: str | None  #: why it waits, for one that does
    way_out: tuple[WayOut, ...]
    message: str | None


def job_rows(jobs: Sequence[Job], workers: Sequence[WorkerState], now: float) -> tuple[JobRow, ...]:
    """Rows in the same order."""
    return tuple(job_row(job, workers, now) for job in jobs)


def job_row(job: Job, workers: Sequence[WorkerState], now: float) -> JobRow:
    """The row of a job."""
    attempt = job.attempt
    outcome = attempt.outcome if attempt else None
    waits = job.state is State.QUEUED
    said = progress_of(job) or Progress()
    started_at = attempt.claimed_at if attempt and not waits else None
    return JobRow(
        id=job.id,
        title=job.spec.title,
        kind=job.spec.kind,
        state=str(job.state),
        reason=job.reason and str(job.reason),
        worker=job.worker,
        priority=job.spec.priority,
        submitted_at=job.submitted_at,
        started_at=started_at,
        ended_at=job.ended_at,
        exit_code=outcome.exit_code if outcome else None,
        signal=outcome.signal if outcome else None,
        attempts=len(job.attempts),
        progress=said.fraction,
        note=said.message,
        eta=_eta(said.fraction, now - started_at) if started_at is not None else None,
        explain=explain(job, workers, now).sentence if waits else None,
        way_out=ways_out(job, workers, now) if waits else (),
        message=job.message,
    )


def ways_out(job: Job, workers: Sequence[WorkerState], now: float) -> tuple[WayOut, ...]:
    """What can be done about a job that waits: nothing but to cancel it, if it is about to start."""
    able = place(job.lane, workers, now).able
    ready = [w for w in able if w.online and not w.resting and left_out_until(job, w.info.name) <= now]
    ways = []
    if not ready:
        ways += [
            WayOut(verb="resume", label=f"Resume {w.info.name}", worker=w.info.name)
            for w in able
            if w.online and w.paused
        ]
        elsewhere = [w.info.name for w in workers if w.online and not w.resting and may_run_elsewhere(job, w)]
        if elsewhere:
            ways.append(WayOut(verb="run-elsewhere", label=f"Run on {' or '.join(elsewhere[:3])}"))
    return (*ways, WayOut(verb="cancel", label="Cancel"))


def may_run_elsewhere(job: Job, worker: WorkerState) -> bool:
    """Whether this worker could run the job if it were not asked for by name."""
    return job.spec.on is not None and why_not(worker.info, lane_for(replace(job.spec, on=None))) is None


def _eta(progress: float | None, elapsed: float) -> float | None:
    if progress is None or not SURE_PROGRESS <= progress <= 1:
        return None
    return round(elapsed * (1 - progress) / progress, 1)
