"""How a job changes: every legal transition, as pure functions. Stores save what `apply` returns.

        submit            Claimed              Finished, exit 0
    ──────────► queued ─────────────► running ─────────────────► succeeded
                 │  ▲                  │ │ ▲ │
                 │  └──────────────────┘ │ │ └─ Finished, no retry left; Claimed, lost too often ─► failed
                 │    retry, GivenBack   │ │
                 │            LeaseExpired │ Renewed, Claimed by another worker
                 │                       ▼ │
                 │                  (offered)
                 └── CancelRequested ──────┴─ or while running, then Finished ─► cancelled

"Offered" is no state of its own: the attempt stays current, and its job may be claimed by another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from relayq.errors import InvalidTransition, StaleAttempt
from relayq.model import (
    RETRY_DELAY_LIMIT,
    Attempt,
    Job,
    JobSpec,
    OnLost,
    Outcome,
    Reason,
    State,
)

LEASE_FLOOR = 15.0  #: seconds; every other term derives from it
LEFT_OUT = 600.0  #: seconds that a worker which could not start a job is not given that job again (P11)
GRANTS = 3  #: new leases in a row, one an epoch, for an owner that stays silent (P7)
MISSTARTS = 3  #: so many jobs in a row that a worker cannot start are the worker's doing
HANDING_OVER = 120.0  #: seconds that jobs are kept for a worker which is being restarted (P10)


def lease_term(elapsed: float, floor: float = LEASE_FLOOR) -> float:
    """Seconds a lease lasts: patience grows with sunk work, from `floor` to 40 times that (10 min)."""
    return min(max(floor, elapsed / 10), floor * 40)


def pulse_interval(floor: float = LEASE_FLOOR) -> float:
    """Seconds between two pulses of a worker (4 s)."""
    return floor * 4 / 15


def contact_patience(floor: float = LEASE_FLOOR) -> float:
    """Seconds without a pulse after which a worker has lost contact (12 s)."""
    return floor * 12 / 15


def freeze_margin(floor: float = LEASE_FLOOR) -> float:
    """Seconds before the end of its lease at which a worker that is cut off freezes an attempt (3 s)."""
    return floor * 3 / 15


def term_without_broker(floor: float = LEASE_FLOOR) -> float:
    """Seconds an attempt may go on for since it was last heard that there is no broker to give it away (15 s)."""
    return 3 * pulse_interval(floor) + freeze_margin(floor)


def settling_time(floor: float = LEASE_FLOOR) -> float:
    """Seconds that claims wait, at most, for workers to say what they run when a new epoch has begun (3 s)."""
    return floor * 3 / 15


def reconcile_after(floor: float = LEASE_FLOOR) -> float:
    """Seconds after which an attempt its own worker does not list is given back (10 s)."""
    return floor * 10 / 15


def late_after(floor: float = LEASE_FLOOR) -> float:
    """Seconds after which a pulse is too late to say what its worker does not run (3 s)."""
    return floor * 3 / 15


def ring_patience(floor: float = LEASE_FLOOR) -> float:
    """Seconds that heavy machines leave light work to a light one that has been rung for it (1 s)."""
    return floor / 15


def outage_after(floor: float = LEASE_FLOOR) -> float:
    """Seconds without any pulse after which a new epoch counts them as an outage, in which no job waited (5 s)."""
    return floor * 5 / 15


def retry_delay(spec: JobSpec, failures: int) -> float:
    """Seconds before the next attempt, after so many failures: doubling, up to five minutes."""
    return min(spec.retry_delay * 2.0 ** min(failures - 1, 30), RETRY_DELAY_LIMIT)


def left_out_until(job: Job, worker: str) -> float:
    """Until when this worker is not given the job again, because it could not start it; 0 if it may have it."""
    tries = (a for a in job.attempts if a.worker == worker and a.outcome and a.outcome.reason is Reason.NOT_STARTED)
    return max((a.ended_at + LEFT_OUT for a in tries if a.ended_at is not None), default=0.0)


# ── what can happen ──────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Claimed:
    """A worker takes the job; if it was offered, its attempt so far is over."""

    worker: str
    nonce: str


@dataclass(frozen=True, slots=True)
class Remembered:
    """A worker says that it runs an attempt, in a new epoch: its claim may be forgotten, the store's clock set."""

    worker: str
    number: int
    nonce: str
    age: float | None  #: seconds since it was claimed, by the worker's clock


@dataclass(frozen=True, slots=True)
class Renewed:
    """The owner of the current attempt is there: an offer is withdrawn."""

    number: int
    nonce: str


@dataclass(frozen=True, slots=True)
class Told:
    """The job said how far it is."""

    number: int
    nonce: str
    progress: float | None  #: 0 … 1
    note: str | None


@dataclass(frozen=True, slots=True)
class LeaseExpired:
    """The owner of the current attempt has been silent for the term of its lease."""


@dataclass(frozen=True, slots=True)
class Finished:
    """An attempt ended; what becomes of the job depends on the outcome."""

    number: int
    nonce: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class GivenBack:
    """An attempt ended for a reason that is not the job's. `lost`: it counts towards `max_losses`."""

    number: int
    nonce: str
    outcome: Outcome
    lost: bool


@dataclass(frozen=True, slots=True)
class Abandoned:
    """An offered job that nobody is to run again (cancelled meanwhile, or `on_lost="fail"`): its owner is given up."""


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Somebody no longer wants it. `lease_over`: nobody has been heard of its attempt for the term of its lease."""

    lease_over: bool = False


@dataclass(frozen=True, slots=True)
class QueueTimedOut:
    """It waited longer than its `queue_timeout` for its first attempt."""


Event = (
    Claimed
    | Remembered
    | Renewed
    | Told
    | LeaseExpired
    | Finished
    | GivenBack
    | Abandoned
    | CancelRequested
    | QueueTimedOut
)


def submitted(
    id: str,
    spec: JobSpec,
    lane: str,
    *,
    now: float,
    place: float,
    retry_of: str | None = None,
    celery_id: str | None = None,
) -> Job:
    """A new job, at the end of its line."""
    return Job(
        id=id,
        spec=spec,
        state=State.QUEUED,
        lane=lane,
        submitted_at=now,
        place=place,
        retry_of=retry_of,
        celery_id=celery_id,
    )


def apply(event: Event, job: Job, now: float) -> Job:
    """The job after `event`.

    Raises StaleAttempt if the event speaks for an attempt that is no longer current, and InvalidTransition
    if it cannot happen to the job as it is. A repeated Finished or GivenBack changes nothing.
    """
    match event:
        case Claimed():
            return _claimed(event, job, now)
        case Remembered():
            return _remembered(event, job, now)
        case Renewed():
            return _with_attempt(job, replace(_current(job, event.number, event.nonce), offered_at=None))
        case Told():
            attempt = _current(job, event.number, event.nonce)
            return _with_attempt(job, replace(attempt, progress=event.progress, note=event.note))
        case LeaseExpired():
            return _lease_expired(job, now)
        case Finished() | GivenBack():
            if _said_before(event, job):
                return job
            ended = _attempt_ended(job, _current(job, event.number, event.nonce), event.outcome, now)
            return _finished(ended, event, now) if isinstance(event, Finished) else _given_back(ended, event, now)
        case Abandoned():
            return _abandoned(job, now)
        case CancelRequested():
            return _cancel_requested(event, job, now)
        case QueueTimedOut():
            if job.state is not State.QUEUED or job.attempts:
                raise InvalidTransition(f"job {job.id} is not waiting for its first attempt")
            return _ended(job, State.FAILED, Reason.QUEUE_TIMED_OUT, now)


# ── how each is done ─────────────────────────────────────────────────────────


def _claimed(event: Claimed, job: Job, now: float) -> Job:
    if job.state is State.RUNNING and (lost := job.attempt) and lost.offered_at is not None:
        job = _owner_lost(job, lost, now)
        if job.state.ended:
            return job
    if job.state is not State.QUEUED or (job.not_before is not None and job.not_before > now):
        raise InvalidTransition(f"job {job.id} is {job.state}, not to be claimed")
    number = (job.attempt.number if job.attempt else 0) + 1
    attempt = Attempt(number=number, nonce=event.nonce, worker=event.worker, claimed_at=now)
    return replace(job, state=State.RUNNING, attempts=(*job.attempts, attempt), not_before=None)


def _remembered(event: Remembered, job: Job, now: float) -> Job:
    last = job.attempt
    claimed_at = None if event.age is None else round(now - event.age, 3)
    if job.state is State.RUNNING and last is not None and (last.number, last.nonce) == (event.number, event.nonce):
        if claimed_at is not None and abs(last.claimed_at - claimed_at) > 1:
            return _with_attempt(job, replace(last, claimed_at=claimed_at))
        return job
    if job.state.ended or (last is not None and last.number >= event.number):
        raise StaleAttempt(f"attempt {event.number} of job {job.id} no longer counts")
    if job.state is State.RUNNING and last is not None:
        job = replace(_attempt_ended(job, last, Outcome(reason=Reason.WORKER_LOST), now), losses=job.losses + 1)
    attempt = Attempt(
        number=event.number,
        nonce=event.nonce,
        worker=event.worker,
        claimed_at=now if claimed_at is None else claimed_at,
    )
    return replace(job, state=State.RUNNING, attempts=(*job.attempts, attempt), not_before=None)


def _owner_lost(job: Job, lost: Attempt, now: float) -> Job:
    outcome = Outcome(reason=Reason.WORKER_LOST)
    event = GivenBack(lost.number, lost.nonce, outcome, lost=True)
    return _given_back(_attempt_ended(job, lost, outcome, now), event, now)


def _abandoned(job: Job, now: float) -> Job:
    attempt = job.attempt
    unwanted = job.cancel_requested_at is not None or job.spec.on_lost is OnLost.FAIL
    if job.state is not State.RUNNING or attempt is None or attempt.offered_at is None or not unwanted:
        raise InvalidTransition(f"job {job.id} is {job.state}, not to be given up")
    return _owner_lost(job, attempt, now)


def _lease_expired(job: Job, now: float) -> Job:
    if job.state is not State.RUNNING:
        raise InvalidTransition(f"job {job.id} is {job.state}: nobody holds it")
    attempt = job.attempts[-1]
    waits = job.spec.on_lost is OnLost.WAIT and job.cancel_requested_at is None
    if attempt.offered_at is not None or waits:
        return job
    return _with_attempt(job, replace(attempt, offered_at=now))


def _finished(job: Job, event: Finished, now: float) -> Job:
    outcome = event.outcome
    if outcome.success:
        return _ended(job, State.SUCCEEDED, outcome.reason, now)
    if outcome.reason is Reason.CANCELLED:
        return _ended(job, State.CANCELLED, Reason.CANCELLED, now)
    if job.cancel_requested_at is not None and outcome.reason is not Reason.EXITED:
        return _ended(job, State.CANCELLED, Reason.CANCELLED, now)
    retryable = outcome.reason in (Reason.EXITED, Reason.TIMED_OUT) and job.cancel_requested_at is None
    if retryable and job.failures < job.spec.retries:
        failures = job.failures + 1
        not_before = round(now + retry_delay(job.spec, failures), 3)
        return replace(job, state=State.QUEUED, failures=failures, not_before=not_before)
    return _ended(job, State.FAILED, outcome.reason, now, outcome.message)


def _given_back(job: Job, event: GivenBack, now: float) -> Job:
    if event.lost:
        job = replace(job, losses=job.losses + 1)
    if job.cancel_requested_at is not None:
        return _ended(job, State.CANCELLED, Reason.CANCELLED, now)
    if event.lost and job.spec.on_lost is OnLost.FAIL:
        return _ended(job, State.FAILED, Reason.WORKER_LOST, now)
    if event.lost and job.losses >= job.spec.max_losses:
        return _ended(job, State.FAILED, Reason.POISON, now)
    return replace(job, state=State.QUEUED)


def _cancel_requested(event: CancelRequested, job: Job, now: float) -> Job:
    if job.state.ended:
        return job
    attempt = job.attempt
    if job.state is State.RUNNING and attempt is not None:
        if attempt.offered_at is None and not event.lease_over:
            return replace(job, cancel_requested_at=job.cancel_requested_at or now)
        job = _attempt_ended(job, attempt, Outcome(reason=Reason.CANCELLED), now)
    return _ended(replace(job, cancel_requested_at=now), State.CANCELLED, Reason.CANCELLED, now)


def _said_before(event: Finished | GivenBack, job: Job) -> bool:
    said = [a for a in job.attempts if a.number == event.number and a.nonce == event.nonce and a.ended_at]
    return bool(said) and said[-1].outcome is not None and said[-1].outcome.reason is event.outcome.reason


def _current(job: Job, number: int, nonce: str) -> Attempt:
    attempt = job.attempt
    if job.state is not State.RUNNING or attempt is None or (attempt.number, attempt.nonce) != (number, nonce):
        raise StaleAttempt(f"attempt {number} of job {job.id} no longer counts")
    return attempt


def _attempt_ended(job: Job, attempt: Attempt, outcome: Outcome, now: float) -> Job:
    return _with_attempt(job, replace(attempt, ended_at=now, outcome=outcome, progress=None, note=None))


def _with_attempt(job: Job, attempt: Attempt) -> Job:
    return replace(job, attempts=(*job.attempts[:-1], attempt))


def _ended(job: Job, state: State, reason: Reason, now: float, message: str | None = None) -> Job:
    return replace(job, state=state, reason=reason, message=message, ended_at=now, not_before=None)
