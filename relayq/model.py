"""The nouns: what a job, an attempt and a worker are, as frozen data without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

DEFAULT_OUTPUT_BYTES = 1 << 20  #: kept of a job's output, head and tail together
DEFAULT_KILL_GRACE = 10.0  #: seconds between TERM and KILL
DEFAULT_MAX_LOSSES = 3
PRIORITY_STEP = 60.0  #: seconds of waiting that one step of priority is worth
RETRY_DELAY = 1.0  #: seconds before the first retry; doubles with each
RETRY_DELAY_LIMIT = 300.0  #: seconds


class State(StrEnum):
    """Where a job is in its life. How it ended is its `Reason`, not a further state."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing will ever happen to the job again."""
        return self in ENDED


ENDED = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})


class Reason(StrEnum):
    """How an attempt, or the whole job, ended. Users branch on these: add with great care."""

    EXITED = "exited"  #: the main process ended by itself, or by a signal that was not ours
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    WORKER_LOST = "worker_lost"  #: the lease ran out and another worker took the job
    WORKER_STOPPED = "worker_stopped"  #: given back by a worker that was told to end its jobs
    KILLED = "killed"  #: ended on the machine from outside, with its supervisor
    NOT_STARTED = "not_started"  #: the process could not be started
    POISON = "poison"  #: lost with as many workers as `max_losses` allows
    QUEUE_TIMED_OUT = "queue_timed_out"  #: waited longer than `queue_timeout`


class OnLost(StrEnum):
    """What becomes of a running job whose machine is lost."""

    REQUEUE = "requeue"
    WAIT = "wait"
    FAIL = "fail"


@dataclass(frozen=True, kw_only=True, slots=True)
class JobSpec:
    """What was asked. Never changes."""

    kind: str = "command"
    command: str | tuple[str, ...] | None = None  #: str: for `/bin/sh -c`; tuple: the exact argv
    script: str | None = None  #: a program text, run by its `#!` line or `/bin/sh`
    params: Mapping[str, Any] = field(default_factory=dict)  #: what kinds other than command need
    cwd: str | None = None  #: a folder on the worker; its user's home (`~`) by default
    env: Mapping[str, str] = field(default_factory=dict)  #: on top of the worker's environment
    stdin: bytes | None = None  #: data for standard input; None is /dev/null
    name: str | None = None  #: shown instead of the command
    on: str | None = None  #: the one worker that may run it
    needs: tuple[str, ...] = ()  #: labels and capabilities its worker must have
    prefer: tuple[str, ...] = ()  #: names, labels, capabilities to choose first, if there is a choice
    timeout: float | None = None  #: seconds an attempt may run
    queue_timeout: float | None = None  #: seconds the job may wait before its first attempt
    retries: int = 0  #: further attempts after a non-zero exit or a timeout
    retry_delay: float = RETRY_DELAY  #: seconds before the first retry
    priority: int = 0  #: −10 … 10, higher first; one step is worth a minute of waiting
    on_lost: OnLost = OnLost.REQUEUE
    freeze: bool = True  #: stop (SIGSTOP) the process when its machine has been cut off for too long
    max_losses: int = DEFAULT_MAX_LOSSES
    max_output_bytes: int = DEFAULT_OUTPUT_BYTES
    kill_grace: float = DEFAULT_KILL_GRACE

    @property
    def title(self) -> str:
        """One line to show for this job."""
        import shlex

        if self.name:
            return self.name
        if self.kind != "command":
            return " ".join([self.kind, *(str(v) for v in self.params.values() if v is not None)])
        if self.script is not None:
            lines = (line.strip() for line in self.script.splitlines())
            return next((line for line in lines if line and not line.startswith("#")), "script")
        if isinstance(self.command, str):
            return " ".join(self.command.split())
        return shlex.join(self.command or ())


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How one attempt ended, as its worker saw it."""

    reason: Reason
    exit_code: int | None = None
    signal: int | None = None  #: the signal that ended the main process
    message: str | None = None  #: one sentence, where the reason does not say it all
    stdout_bytes: int = 0  #: produced, not kept
    stderr_bytes: int = 0
    duration: float | None = None  #: seconds of running, by the machine's own clock, frozen time excluded
    value: Any = None  #: what a kind other than command answers (JSON)

    @property
    def success(self) -> bool:
        """Whether the job did what was asked."""
        return self.reason is Reason.EXITED and self.exit_code == 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One worker's try at a job. `number` and `nonce` together are the fencing token."""

    number: int
    nonce: str
    worker: str
    claimed_at: float  #: seconds since the epoch, by the store's clock, like all instants here
    offered_at: float | None = None  #: since when its lease is over and its job may be claimed by another
    kept_until: float | None = None  #: its worker said goodbye, and nobody takes it over before
    progress: float | None = None  #: 0 … 1, as the job said last; only while it runs
    note: str | None = None  #: what it said with that
    ended_at: float | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What was asked and all that became of it. Changed only by `lifecycle`, saved only by a store."""

    id: str
    spec: JobSpec
    state: State
    lane: str
    submitted_at: float
    place: float  #: the instant of submission made unique; kept across retries
    attempts: tuple[Attempt, ...] = ()
    not_before: float | None = None  #: a retry waits until then
    losses: int = 0  #: attempts that ended with their machine
    failures: int = 0  #: attempts that used up a retry
    cancel_requested_at: float | None = None
    ended_at: float | None = None
    reason: Reason | None = None
    message: str | None = None
    retry_of: str | None = None
    celery_id: str | None = None  #: the Celery task a 1.x client waits for
    output_dropped: bool = False  #: its output was removed to keep the total within its budget

    @property
    def order(self) -> float:
        """The place in line, lower is sooner: one step of priority is worth a minute of waiting."""
        return self.place - PRIORITY_STEP * self.spec.priority

    @property
    def attempt(self) -> Attempt | None:
        """The attempt that counts: the running one, else the last."""
        return self.attempts[-1] if self.attempts else None

    @property
    def worker(self) -> str | None:
        """Where it runs or ran last."""
        return self.attempts[-1].worker if self.attempts else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A piece of output. `offset` counts the bytes of its stream before it."""

    stream: int  #: 1 stdout, 2 stderr
    offset: int
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """What is kept of one attempt's output from a position on, in the order it came."""

    attempt: int
    chunks: tuple[Chunk, ...]
    next: int  #: the position to read on from
    ended: bool  #: whether the attempt can add to it


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """How a job ended, with its output."""

    id: str
    state: State
    reason: Reason
    exit_code: int | None
    signal: int | None
    message: str | None
    stdout: bytes
    stderr: bytes
    stdout_bytes: int  #: produced; more than len(stdout) if the middle was dropped
    stderr_bytes: int
    worker: str | None
    attempts: tuple[Attempt, ...]
    submitted_at: float
    started_at: float | None
    ended_at: float
    value: Any = None

    @property
    def truncated(self) -> bool:
        """Whether output is missing."""
        return len(self.stdout) < self.stdout_bytes or len(self.stderr) < self.stderr_bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Capability:
    """Something that was looked for on a machine and found, whether it works or not."""

    name: str  #: as jobs ask for it: `ffmpeg`, `encoder:libx264`, `docker`
    version: str | None = None
    works: bool = True
    why_not: str | None = None  #: if it does not work: what was said when it was tried


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerInfo:
    """What a worker says of itself when it registers."""

    name: str
    identity: str  #: random, kept in its RELAYQ_HOME: the same machine after a restart
    incarnation: str  #: random, new with each start
    slots: int
    labels: tuple[str, ...] = ()  #: given, and those every machine of its sort has (mac, rpi)
    capabilities: tuple[str, ...] = ()  #: the names of what was found and works
    found: tuple[Capability, ...] = ()  #: all that was found, with version, or why it does not work
    facts: Mapping[str, str | int] = field(default_factory=dict)  #: os, arch, model, cores; memory, disk … in bytes
    host: str = ""
    system: str = ""  #: e.g. "Linux aarch64"
    version: str = ""
    pid: int = 0

    @property
    def offers(self) -> frozenset[str]:
        """Everything a job may need of this worker."""
        return frozenset(self.labels) | frozenset(self.capabilities)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bell:
    """How to wake a worker: two ready-made messages, so that a store can ring without knowing the engine."""

    queue: str  #: a list to push `ring` to: "there is work for you"
    ring: str
    channel: str  #: a channel to publish `nudge` to: "pulse now"
    nudge: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """Somebody wants a worker to take nothing new; what runs there goes on."""

    since: float
    until: float | None = None  #: None: until it is resumed
    draining: bool = False  #: for good, or to be switched off: when nothing runs any more it is drained
    by: str | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reprobe:
    """Somebody wants a worker to look again at what its machine can do."""

    since: float
    programs: tuple[str, ...] = ()  #: to be looked for on its PATH, from now on


@dataclass(frozen=True, kw_only=True, slots=True)
class Quarantine:
    """A worker that could not start several jobs in a row gets no further ones until it has tested itself."""

    since: float
    why: str  #: what it said of the last of them


@dataclass(frozen=True, kw_only=True, slots=True)
class Readings:
    """How a worker's machine is: shares are 0 … 1; what cannot be read there is None."""

    cpu: float | None = None  #: of all cores, since the last reading
    memory: float | None = None
    disk: float | None = None  #: where RELAYQ_HOME is
    temperature: float | None = None  #: °C, of the processor
    throttled: str | None = None  #: what slows a Raspberry Pi down


@dataclass(frozen=True, kw_only=True, slots=True)
class Queue:
    """What waits in a lane."""

    lane: str
    waiting: int
    oldest_at: float | None  #: when the first in line was submitted


class Event(NamedTuple):
    """A change of a job, as the store tells it to who follows all of them."""

    job: str
    state: str
    worker: str
    at: float = 0.0  #: seconds since the epoch, by the store's clock
    lost: bool = False  #: the lease of its attempt ran out
    rung_for: float | None = None  #: seconds between the ring and this claim, if it answered one


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerState:
    """A known worker and what the store knows of it now."""

    info: WorkerInfo
    online: bool
    seen_at: float
    running: int  #: attempts it holds
    left: bool = False  #: it has said goodbye
    load: float | None = None
    readings: Readings = Readings()
    paused: Pause | None = None
    quarantined: Quarantine | None = None
    held_back: str | None = None  #: why it takes nothing new by its own choice, as the end of a sentence
    reprobe: Reprobe | None = None  #: it has been asked to look, and has not told yet

    @property
    def resting(self) -> bool:
        """Whether it takes nothing new, though it may be there."""
        return bool(self.paused or self.quarantined or self.held_back)


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """An attempt as its worker names it."""

    job: str
    number: int
    nonce: str
    age: float | None = None  #: seconds since it was claimed, by the worker's clock; only for `announce`
    progress: float | None = None  #: 0 … 1
    note: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """Something happened to a watched job."""

    job: str
    what: str  #: "output", or the state it is in now
    record: Job | None = None  #: with an end: the whole job
    chunks: tuple[Chunk, ...] | None = None  #: with an end: its output, if that is small


@dataclass(frozen=True, kw_only=True, slots=True)
class Pulse:
    """The store's answer to a worker's heartbeat."""

    now: float
    term: Mapping[str, float]  #: job id → seconds its lease now lasts, for every attempt renewed
    superseded: tuple[str, ...]  #: jobs whose attempt here no longer counts
    cancelled: tuple[str, ...]  #: jobs to end
    lanes_version: int
    work_waiting: bool  #: something this worker may claim is there, and a slot is free
    quarantined: str | None = None  #: why this worker is to test itself
    unheard: int = 0  #: rings that waited in its queue before this pulse
    announce: bool = False  #: a new epoch: this worker is to say what it runs before it claims anything
    reprobe: Reprobe | None = None  #: this worker is to look again at what its machine can do
    next_due: float | None = None  #: seconds until a retry, a lease's end or a patience's end is due
