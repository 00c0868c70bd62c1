"""The contract of a store: every change of a job is one atomic call, and times are the store's own.

`RedisStore` (Lua scripts, one round trip a call) is the real one; `MemoryStore` does the same in this process, through
`lifecycle`, and one suite of tests holds both to this page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from relayq.model import (
    Bell,
    Change,
    Chunk,
    Event,
    Held,
    Job,
    JobSpec,
    Outcome,
    Output,
    Pulse,
    Queue,
    Readings,
    State,
    WorkerInfo,
    WorkerState,
)

KEEP = 7 * 86400.0  #: seconds a finished job is kept
OUTPUT_BUDGET = 256 << 20  #: bytes the output of all jobs may take together


@dataclass(frozen=True, kw_only=True, slots=True)
class NewJob:
    """A job about to be submitted. The id makes it idempotent: submitting it again changes nothing."""

    id: str
    spec: JobSpec
    lane: str
    anyway: bool = False  #: take it although no known worker may run it
    retry_of: str | None = None
    celery_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A job this worker holds now, for `term` seconds unless renewed."""

    job: Job
    term: float

    @property
    def held(self) -> Held:
        """The attempt as the store wants it named."""
        attempt = self.job.attempts[-1]
        return Held(job=self.job.id, number=attempt.number, nonce=attempt.nonce)


@dataclass(frozen=True, kw_only=True, slots=True)
class Registered:
    """The store's answer to a worker that starts."""

    now: float
    adopted: tuple[Held, ...]  #: those of the attempts it said it still runs that count
    lanes: tuple[str, ...]
    lanes_version: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Finish:
    """The store's answer to a finished attempt: what became of the job, and the next one for this slot."""

    heard: bool  #: False: a newer attempt owns the job, this one's end was not recorded
    state: State | None
    next: Claim | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Announced:
    """The store's answer to what a worker says it runs, after it may have forgotten its last second."""

    unknown: tuple[str, ...]  #: jobs it does not know: submit them again, and announce again
    stored: Mapping[str, tuple[int, int]]  #: job id → ends of stdout and stderr in the store, if the attempt counts


class Unserved(Exception):
    """Nobody is known to serve these lanes, so nothing was submitted: say who does, and submit again."""

    def __init__(self, lanes: Sequence[str]) -> None:
        super().__init__(", ".join(lanes))
        self.lanes = tuple(lanes)


class Store(Protocol):
    """What every store does. All raise BrokerUnavailable where a broker can be away."""

    submitted_in: int  #: the epoch of the last submission

    # submitting
    def submit(self, jobs: Sequence[NewJob], *, inbox: str | None = None) -> list[Job]:
        """Queue jobs, all or none; `inbox` will hear of their ends. Raises Unserved, StoreFull, IdTaken."""
        ...

    def epoch(self) -> int:
        """The number of the current epoch; another than `submitted_in` means that jobs may have been forgotten."""
        ...

    def cancel(self, id: str) -> Job:
        """End a waiting job, or have its worker end it. Raises UnknownJob."""
        ...

    # a worker's calls
    def register(
        self, info: WorkerInfo, bell: Bell, running: Sequence[Held] = (), *, said_at: float | None = None
    ) -> Registered:
        """Start; `running` are the attempts this machine still runs. Raises NameTaken.

        `said_at`: when this is said, by the store's time as last heard; one that comes late raises BrokerUnavailable.
        """
        ...

    def serve(
        self,
        worker: str,
        lanes: Iterable[str],
        *,
        all: bool,
        version: int | None = None,
        lacks: Mapping[str, int] = MappingProxyType({}),
    ) -> int:
        """Say which lanes a worker may take jobs from; answers the version of the set of lanes.

        `lacks`: lane → what the worker lacks of its rule (`placement.rule_lacks`), if anything.
        With `all` they replace those of before, unless the set is another by now than that of `version`.
        """
        ...

    def describe(self, info: WorkerInfo) -> None:
        """Replace what a worker says of itself; the lanes it serves are said by `serve`. Raises Replaced."""
        ...

    def lanes(self) -> tuple[int, tuple[str, ...]]:
        """The version of the set of lanes, and the lanes."""
        ...

    def leave(self, worker: str, incarnation: str, held: Sequence[Held] = ()) -> Mapping[Held, float]:
        """Say goodbye for now; what still runs there is kept for it for 2 minutes at least. Raises Replaced.

        Answers for how many seconds, for those attempts that count.
        """
        ...

    def remove_worker(self, worker: str) -> None:
        """Forget a worker that is away. Raises Refused, NoSuchWorker."""
        ...

    def pause(
        self,
        worker: str,
        *,
        seconds: float | None = None,
        draining: bool = False,
        by: str | None = None,
        note: str | None = None,
    ) -> None:
        """Have a worker take nothing new, for some seconds or until `resume`. Raises NoSuchWorker."""
        ...

    def resume(self, worker: str) -> None:
        """Let it take jobs again, also out of quarantine. Raises NoSuchWorker."""
        ...

    def reprobe(self, worker: str, programs: Sequence[str] = ()) -> None:
        """Have a worker look again at what its machine can do, and for these programs. Raises NoSuchWorker.

        It stands in its `WorkerState` until the worker has told (`describe`).
        """
        ...

    def release(self, worker: str) -> None:
        """Its own test went well: out of quarantine. Raises NoSuchWorker."""
        ...

    def claim(self, worker: str, incarnation: str, nonce: str, *, repeat: bool = False) -> Claim | None:
        """The best job this worker may run now. Raises Replaced."""
        ...

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
        """End an attempt with its last output and, with `next_nonce`, claim the next job, in one call."""
        ...

    def give_back(self, worker: str, incarnation: str, held: Held, outcome: Outcome, *, lost: bool) -> Finish:
        """End an attempt whose end is not the job's doing; `lost` counts towards its `max_losses`."""
        ...

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
        """Heartbeat and renewal of all attempts of a worker; `held_back`: why it wants nothing new. Raises Replaced.

        `asking`: nonces of claims whose answers it waits for. `said_at`: when this is said, by its reckoning of the
        store's time: a late pulse renews, but what it does not list may have been claimed since.
        """
        ...

    def announce(self, worker: str, incarnation: str, running: Sequence[Held]) -> Announced:
        """In a new epoch (`Pulse.announce`): what runs here, and what has just ended here. Raises Replaced."""
        ...

    def append(self, held: Held, chunks: Sequence[Chunk]) -> None:
        """Add output to a running attempt; what was said before is skipped. Raises StaleAttempt.

        What `held` says of its progress is kept, as with a pulse, and only told sooner.
        """
        ...

    # reading
    def get(self, ids: Sequence[str]) -> list[Job | None]:
        """Jobs by id, in the order asked."""
        ...

    def find(self, prefix: str, limit: int = 3) -> list[str]:
        """Ids that begin like this."""
        ...

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
        """A page of jobs, newest first; `before` is the `place` of the last job of the page before.

        With `oldest` (and without `worker`) the oldest first.
        """
        ...

    def lately(self, limit: int = 20) -> list[Job]:
        """The jobs that ended last (a hundred are known), newest first."""
        ...

    def counts(self) -> Mapping[State, int]:
        """How many jobs are in each state."""
        ...

    def output(self, id: str, *, attempt: int | None = None, position: int = 0) -> Output:
        """Output of an attempt (default: the last) from a position on. Raises UnknownJob."""
        ...

    def workers(self) -> tuple[float, list[WorkerState]]:
        """The store's time, and every known worker by name."""
        ...

    def heartbeats(self) -> Mapping[str, tuple[float | None, ...]]:
        """By worker, the share of each of the last 96 quarter hours it was there, oldest first; None: not known."""
        ...

    def queues(self) -> list[Queue]:
        """What waits, by lane."""
        ...

    # waiting
    def watch(self, inbox: str, ids: Sequence[str], *, output: bool = False) -> list[Job]:
        """Have `inbox` hear of these jobs' ends (or of their output); answers those that have ended already."""
        ...

    def wait(
        self, inbox: str, cursor: str, timeout: float, known: Mapping[str, JobSpec] = MappingProxyType({})
    ) -> tuple[str, list[Change]]:
        """Block until the inbox has something newer than `cursor` ("0" for all), at most `timeout` seconds.

        News of an end has the record, and small output, only if the job's spec is `known`: it does not travel again.
        """
        ...

    def events(self, cursor: str, timeout: float, limit: int = 1000) -> tuple[str, list[Event]]:
        """Block for changes of any job. Cursor "0" starts with the oldest that is kept."""
        ...

    def events_kept(self) -> tuple[str, str]:
        """Cursors: before the oldest event that is kept, and behind the newest."""
        ...

    # 1.x answers
    def replies_due(self, age: float) -> list[Job]:
        """Ended jobs whose 1.x answer has not been confirmed for `age` seconds."""
        ...

    def replied(self, id: str) -> None:
        """The 1.x answer of this job is written."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
