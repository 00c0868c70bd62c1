"""A job in full: what was asked, and all that became of it."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from relayq.model import Attempt, Job, JobSpec, Reason, WorkerState
from relayq.monitoring.explaining import ending, explain
from relayq.monitoring.rows import JobRow, job_row
from relayq.monitoring.spelling import as_cli, as_python

MASKED = "•••"


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """Something that happened to a job."""

    at: float
    what: str  #: queued, claimed, offered, ended, lost, retried, cancelling or finished
    attempt: int | None
    worker: str | None
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptRow:
    """One worker's try."""

    number: int
    worker: str
    started_at: float
    ended_at: float | None
    reason: str | None
    exit_code: int | None
    signal: int | None
    message: str | None
    duration: float | None  #: seconds, frozen time excluded
    stdout_bytes: int | None  #: produced, not kept
    stderr_bytes: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """A sentence for the job, and one for each machine."""

    sentence: str
    machines: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class JobDetails(JobRow):
    """Everything about one job."""

    spec: Mapping[str, Any]  #: values of environment variables are masked
    timeline: tuple[Moment, ...]
    attempts_list: tuple[AttemptRow, ...]
    explained: Explained
    as_cli: str
    as_python: str
    retry_of: str | None
    output_dropped: bool
    cancel_requested_at: float | None


def details(job: Job, workers: Sequence[WorkerState], now: float) -> JobDetails:
    """The job in full."""
    explained = explain(job, workers, now)
    row = job_row(job, workers, now)
    return JobDetails(
        **{f.name: getattr(row, f.name) for f in fields(row)},
        spec=shown_spec(job.spec),
        timeline=tuple(sorted(_moments(job), key=lambda moment: moment.at)),
        attempts_list=tuple(_attempt(attempt) for attempt in job.attempts),
        explained=Explained(sentence=explained.sentence, machines=explained.machines),
        as_cli=as_cli(job.spec),
        as_python=as_python(job.spec),
        retry_of=job.retry_of,
        output_dropped=job.output_dropped,
        cancel_requested_at=job.cancel_requested_at,
    )


def shown_spec(spec: JobSpec) -> dict[str, Any]:
    """What was asked, as JSON; environment variables by name only: their values are often secrets."""
    shown: dict[str, Any] = {}
    for f in fields(JobSpec):
        value = getattr(spec, f.name)
        if f.name == "env":
            value = dict.fromkeys(value, MASKED)
        elif isinstance(value, bytes):
            value = base64.b64encode(value).decode("ascii")
        elif isinstance(value, tuple):
            value = list(value)
        shown[f.name] = dict(value) if f.name == "params" else value
    return shown


def _moments(job: Job) -> Iterator[Moment]:
    again = f", again for {job.retry_of}" if job.retry_of else ""
    yield Moment(at=job.submitted_at, what="queued", attempt=None, worker=None, text=f"queued{again}")
    for attempt in job.attempts:
        yield from _moments_of(attempt)
    if job.cancel_requested_at is not None:
        yield Moment(
            at=job.cancel_requested_at, what="cancelling", attempt=None, worker=None, text="somebody cancelled it"
        )
    if job.ended_at is not None:
        number = job.attempt.number if job.attempt else None
        yield Moment(at=job.ended_at, what="finished", attempt=number, worker=job.worker, text=ending(job))


def _moments_of(attempt: Attempt) -> Iterator[Moment]:
    def moment(at: float, what: str, text: str) -> Moment:
        return Moment(at=at, what=what, attempt=attempt.number, worker=attempt.worker, text=text)

    worker = attempt.worker
    yield moment(attempt.claimed_at, "claimed", f"attempt {attempt.number} began on {worker}")
    if attempt.offered_at is not None:
        yield moment(attempt.offered_at, "offered", f"{worker} lost contact: another worker may take it")
    if attempt.ended_at is None or attempt.outcome is None:
        return
    outcome = attempt.outcome
    what = "lost" if outcome.reason in (Reason.WORKER_LOST, Reason.KILLED) else "ended"
    text = _END.get(outcome.reason, str(outcome.reason)).format(worker=worker)
    if outcome.reason is Reason.EXITED:
        how = f"signal {outcome.signal}" if outcome.signal is not None else f"exit code {outcome.exit_code}"
        text = f"ended on {worker} with {how}"
    yield moment(attempt.ended_at, what, f"{text}: {outcome.message}" if outcome.message else text)


_END = {
    Reason.TIMED_OUT: "ran into its timeout on {worker}",
    Reason.CANCELLED: "was cancelled on {worker}",
    Reason.WORKER_LOST: "lost with {worker}",
    Reason.WORKER_STOPPED: "given back by {worker}, which stopped",
    Reason.KILLED: "killed on {worker} from outside",
    Reason.NOT_STARTED: "could not be started on {worker}",
}


def _attempt(attempt: Attempt) -> AttemptRow:
    outcome = attempt.outcome
    return AttemptRow(
        number=attempt.number,
        worker=attempt.worker,
        started_at=attempt.claimed_at,
        ended_at=attempt.ended_at,
        reason=str(outcome.reason) if outcome else None,
        exit_code=outcome.exit_code if outcome else None,
        signal=outcome.signal if outcome else None,
        message=outcome.message if outcome else None,
        duration=outcome.duration if outcome else None,
        stdout_bytes=outcome.stdout_bytes if outcome else None,
        stderr_bytes=outcome.stderr_bytes if outcome else None,
    )
