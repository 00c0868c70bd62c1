"""The worker's half: a session with the supervisor, one per slot, whose thread itself waits in `next`.

>>> with Session(ensure(home), base_env=dict(os.environ)) as session:
...     session.start(Order(key="J1/1", argv=["echo", "hi"]))
...     while not isinstance(frame := session.next(), Exit):
...         keep(frame)
...     session.forget(frame.key)
"""

import contextlib
import math
import select
import socket
import threading
import time
from collections import deque
from types import TracebackType
from typing import Any, Self

import relayq
from relayq.supervisor import wire
from relayq.supervisor.clock import elapsed
from relayq.supervisor.environment import without_secrets
from relayq.supervisor.launch import ensure, others
from relayq.supervisor.messages import (
    Exit,
    Frame,
    Order,
    Output,
    SessionClosed,
    State,
    SupervisorError,
    SupervisorGone,
    SupervisorUnavailable,
    exit_from,
    order_header,
    output_from,
    state_from,
)

__all__ = [
    "Exit",
    "Frame",
    "Order",
    "Output",
    "Session",
    "SessionClosed",
    "State",
    "SupervisorError",
    "SupervisorGone",
    "SupervisorUnavailable",
    "ensure",
    "others",
]

_ANSWER_PATIENCE = 10.0  #: seconds for the answer to hello and list


class Session:
    """A connection to the supervisor. `next` and `list` belong to one thread, the rest may come from any."""

    def __init__(self, path: str, base_env: dict[str, str]) -> None:
        """Connects. `base_env` is the environment of the jobs started here, without RELAYQ_* secrets.

        Raises SupervisorUnavailable.
        """
        self._frames: deque[Frame] = deque()
        self._reader = wire.Reader()
        self._sending = threading.Lock()
        self._interrupted = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        hello = {
            "op": "hello",
            "protocol": wire.PROTOCOL,
            "version": relayq.__version__,
            "env": without_secrets(base_env),
        }
        try:
            self._socket.connect(path)
            self._send(hello)
            answer = self._answer("hello")
        except (OSError, SupervisorError) as error:
            self._socket.close()
            raise SupervisorUnavailable(f"the supervisor at {path} cannot be used: {error}") from error
        self.supervisor_pid: int = answer["pid"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hangs up. Jobs go on and wait to be attached."""
        self.interrupt()
        self._socket.close()

    def interrupt(self) -> None:
        """Makes a waiting `next`, and every later one, raise SessionClosed at once. For other threads."""
        self._interrupted = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def start(self, order: Order, forget: tuple[str, ...] = ()) -> None:
        """Starts an attempt, or attaches to it if it was started before. Forgets others on the way."""
        self._send(order_header(order, forget), order.stdin or b"")

    def attach(self, key: str, from_offsets: dict[int, int] | None = None) -> None:
        """Takes over a running or ended attempt: its output from these offsets on, as far as kept, and its Exit."""
        offsets = {str(stream): offset for stream, offset in (from_offsets or {}).items()}
        self._send({"op": "attach", "key": key, "offsets": offsets})

    def stop(self, key: str, reason: str = "cancelled", grace: float | None = None) -> None:
        """TERM to all that belongs to it, KILL after the grace (default: its `kill_grace`). Its Exit says `reason`.

        An attempt that ended before keeps its own end.
        """
        self._send({"op": "stop", "key": key, "reason": reason, "grace": grace})

    def freeze(self, key: str) -> None:
        """SIGSTOP to all that belongs to it."""
        self._send({"op": "freeze", "key": key})

    def thaw(self, key: str) -> None:
        """Undoes `freeze`. A job frozen by its deadline waits for `deadlines`."""
        self._send({"op": "thaw", "key": key})

    def deadlines(self, seconds_from_now: dict[str, float | None], *, thaw: bool = True) -> None:
        """Moves deadlines; None: never. A deadline that has passed is moved, and its job thawed, only with `thaw`."""
        now = elapsed()
        at = {key: None if seconds is None else now + seconds for key, seconds in seconds_from_now.items()}
        self._send({"op": "deadlines", "at": at, "thaw": thaw})

    def forget(self, key: str) -> None:
        """The outcome has arrived where it belongs; the supervisor need not keep it."""
        self._send({"op": "forget", "key": key})

    def next(self, timeout: float | None = None) -> Frame | None:
        """The next output or exit; None when `timeout` seconds have passed.

        Raises SupervisorGone, or SessionClosed after `interrupt`.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while not self._frames:
            found = self._receive(until)
            if found is None:
                return None
            self._sort(*found)
        if self._interrupted:
            raise SessionClosed("the session was interrupted")
        return self._frames.popleft()

    def list(self) -> list[State]:
        """Every attempt that runs here or was not forgotten. Output that arrives meanwhile is kept for `next`."""
        self._send({"op": "list"})
        return [state_from(item) for item in self._answer("list")["jobs"]]

    def shutdown(self, reason: str = "worker_stopped", grace: float | None = None, timeout: float = 30.0) -> bool:
        """Ends all jobs with this reason and then the supervisor; whether it was gone within `timeout` seconds."""
        self._send({"op": "shutdown", "reason": reason, "grace": grace})
        until = time.monotonic() + timeout
        try:
            while (found := self._receive(until)) is not None:
                self._sort(*found)
        except SupervisorGone:
            return True
        return False

    def _send(self, header: wire.Header, body: bytes = b"") -> None:
        data = wire.frame(header, body)
        try:
            with self._sending:
                self._socket.sendall(data)
        except OSError as error:
            raise self._gone(error) from error

    def _answer(self, op: str) -> dict[str, Any]:
        until = time.monotonic() + _ANSWER_PATIENCE
        while (found := self._receive(until)) is not None:
            header, body = found
            if header["op"] == op:
                return header
            if header["op"] == "refused":
                raise SupervisorUnavailable(header["error"])
            self._sort(header, body)
        raise SupervisorGone(f"the supervisor did not answer within {_ANSWER_PATIENCE:g} s")

    def _sort(self, header: wire.Header, body: bytes) -> None:
        op = header["op"]
        if op == "exit":
            self._frames.append(exit_from(header, body))
        elif op == "output":
            self._frames.append(output_from(header, body))

    def _receive(self, until: float | None) -> tuple[wire.Header, bytes] | None:
        while (found := self._reader.frame()) is None:
            try:
                if until is not None and not self._readable(until):
                    return None
                data = self._socket.recv(256 << 10)
            except (OSError, ValueError) as error:  # ValueError: closed under us
                raise self._gone(error) from error
            if not data:
                raise self._gone(None)
            self._reader.feed(data)
        return found

    def _readable(self, until: float) -> bool:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(max(0, math.ceil((until - time.monotonic()) * 1000))))

    def _gone(self, error: Exception | None) -> SupervisorError:
        if self._interrupted:
            return SessionClosed("the session was interrupted")
        why = f": {error}" if error is not None else ""
        return SupervisorGone(f"the supervisor closed the connection{why}")
