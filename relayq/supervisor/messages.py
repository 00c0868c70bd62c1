"""The worker's words to and from the supervisor, as frozen data."""

from dataclasses import dataclass, field
from typing import Any

from relayq.supervisor.clock import elapsed


class SupervisorError(Exception):
    """Anything that keeps a worker from its supervisor; the text is a sentence for a person."""


class SupervisorUnavailable(SupervisorError):
    """No supervisor could be reached or started."""


class SupervisorGone(SupervisorError):
    """The supervisor closed the connection or died. On Linux its jobs died with it."""


class SessionClosed(SupervisorError):
    """The session was closed or interrupted on this side."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to run, for one attempt.

    `key` is "JOBID/N", or "JOBID/N/WORD" with a word that only the worker understands. A `cwd` of None is
    the HOME of the job's environment; a relative one starts there. In `env` a value of None removes a
    variable. `deadline` is in seconds from now: when it has passed, the job is frozen (with `freeze`)
    until `Session.deadlines` renews it. The machine keeps at most 64 MiB of output, whatever is asked.
    """

    key: str
    argv: list[str]
    cwd: str | None = None
    env: dict[str, str | None] = field(default_factory=dict)
    stdin: bytes | None = None
    timeout: float | None = None
    kill_grace: float = 10.0
    max_output_bytes: int = 1 << 20
    freeze: bool = True
    deadline: float | None = None


@dataclass(frozen=True)
class Output:
    """A piece of what the job printed. A gap between offsets is output that was dropped."""

    key: str
    stream: int  #: 1 stdout, 2 stderr
    offset: int  #: in the whole stream, in bytes
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How an attempt ended, with the kept output that was not sent before.

    `reason` is "exited", "timed_out", what `stop` gave, "not_started", "supervisor_lost" (the supervisor
    died and took the job with it) or "unknown" (attach: there is no such attempt here). For
    "not_started", `fault` says whose it was: the "job"'s (no such program) or the "machine"'s (no memory).
    """

    key: str
    reason: str
    exit_code: int | None = None
    signal: int | None = None
    error: str | None = None  #: a sentence
    fault: str | None = None
    stdout_bytes: int = 0  #: produced in all
    stderr_bytes: int = 0
    dropped_bytes: int = 0  #: produced, but not kept
    started_at: float = 0.0
    ended_at: float = 0.0
    duration: float = 0.0  #: seconds, without frozen time and the machine's sleep
    rest: tuple[Output, ...] = ()


@dataclass(frozen=True, kw_only=True)
class State:
    """One attempt the supervisor knows: running, frozen, or ended and not yet forgotten."""

    key: str
    pid: int | None
    state: str  #: running | frozen | ended
    started_at: float
    offsets: dict[int, int]  #: bytes produced, by stream
    reason: str | None = None  #: of an ended one, as in Exit


Frame = Output | Exit


def order_header(order: Order, forget: tuple[str, ...]) -> dict[str, Any]:
    """The header that carries an order; what equals the default is left out, for speed."""
    header: dict[str, Any] = {
        "op": "start",
        "key": order.key,
        "argv": order.argv,
        "grace": order.kill_grace,
        "max": order.max_output_bytes,
    }
    if order.cwd is not None:
        header["cwd"] = order.cwd
    if order.env:
        header["env"] = order.env
    if order.stdin is not None:
        header["stdin"] = True
    if order.timeout is not None:
        header["timeout"] = order.timeout
    if not order.freeze:
        header["freeze"] = False
    if order.deadline is not None:
        # An instant, by the clock that counts sleep: on its way a number of seconds would stand still.
        header["deadline"] = elapsed() + order.deadline
    if forget:
        header["forget"] = forget
    return header


def output_from(header: dict[str, Any], body: bytes) -> Output:
    """The Output a frame carries."""
    return Output(header["key"], header["stream"], header["offset"], body)


def exit_from(header: dict[str, Any], body: bytes) -> Exit:
    """The Exit a frame carries."""
    key = header["key"]
    rest = []
    at = 0
    for stream, offset, size in header.get("chunks", ()):
        rest.append(Output(key, stream, offset, body[at : at + size]))
        at += size
    return Exit(
        key=key,
        reason=header["reason"],
        exit_code=header.get("exit_code"),
        signal=header.get("signal"),
        error=header.get("error"),
        fault=header.get("fault"),
        stdout_bytes=header.get("stdout_bytes", 0),
        stderr_bytes=header.get("stderr_bytes", 0),
        dropped_bytes=header.get("dropped_bytes", 0),
        started_at=header.get("started_at", 0.0),
        ended_at=header.get("ended_at", 0.0),
        duration=header.get("duration", 0.0),
        rest=tuple(rest),
    )


def state_from(item: dict[str, Any]) -> State:
    """One entry of a list answer."""
    return State(
        key=item["key"],
        pid=item["pid"],
        state=item["state"],
        started_at=item["started_at"],
        offsets={1: item["out"], 2: item["err"]},
        reason=item["reason"],
    )
