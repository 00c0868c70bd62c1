"""Real supervisors with real jobs. Whatever a test leaves behind is ended, and must end."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from relayq.supervisor import linux
from relayq.supervisor.client import (
    Exit,
    Frame,
    Order,
    Output,
    Session,
    SupervisorError,
    ensure,
)
from relayq.supervisor.launch import _answering
from relayq.supervisor.paths import Paths, versions

ENV = {"PATH": os.environ["PATH"], "HOME": "/", "LC_ALL": "C"}


def until(condition: Callable[[], object], what: str, patience: float = 10.0) -> None:
    """Waits for a condition; fails naming it and its last value."""
    give_up_at = time.monotonic() + patience
    while not (last := condition()):
        assert time.monotonic() < give_up_at, f"after {patience} s still not: {what} (last: {last!r})"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    return linux.start_time(pid) is not None


def sh(key: str, script: str, **options: object) -> Order:
    """An order for a shell script."""
    return Order(key=key, argv=["/bin/sh", "-c", script], **options)


@dataclass
class Seen:
    """All frames of one attempt, put together."""

    exit: Exit | None = None
    pieces: list[Output] = field(default_factory=list)

    def add(self, frame: Frame) -> None:
        if isinstance(frame, Exit):
            self.exit = frame
            self.pieces += frame.rest
        else:
            self.pieces.append(frame)

    def text(self, stream: int = 1) -> bytes:
        """What came on a stream, in the order in which it came."""
        return b"".join(piece.data for piece in self.pieces if piece.stream == stream)

    def gaps(self, stream: int = 1, start: int = 0) -> list[tuple[int, int]]:
        """(expected, got) wherever an offset does not follow from what came before."""
        found = []
        for piece in self.pieces:
            if piece.stream == stream:
                if piece.offset != start:
                    found.append((start, piece.offset))
                start = piece.offset + len(piece.data)
        return found


def follow(session: Session, patience: float = 20.0) -> Seen:
    """Everything until the next exit on this session."""
    seen = Seen()
    give_up_at = time.monotonic() + patience
    while seen.exit is None:
        frame = session.next(timeout=max(0.0, give_up_at - time.monotonic()))
        assert frame is not None, f"no exit within {patience} s; got {seen.pieces[-3:]}"
        seen.add(frame)
    return seen


def run(session: Session, order: Order) -> Seen:
    """Starts and follows one attempt, then forgets it."""
    session.start(order)
    seen = follow(session)
    assert seen.exit is not None
    session.forget(order.key)
    return seen


def line(session: Session, patience: float = 10.0) -> bytes:
    """The next output; fails on anything else."""
    frame = session.next(timeout=patience)
    assert isinstance(frame, Output), frame
    return frame.data


def shut_down_all(home: Path) -> None:
    """Ends the supervisors of a home, which must end."""
    for version in versions(str(home)):
        with contextlib.suppress(SupervisorError):
            path = _answering(Paths(str(home), version), any_version=True)
            if path is not None:
                with Session(path, {}) as session:
                    assert session.shutdown(grace=0.0), "the supervisor did not end when told to"


def tidy(path: str) -> None:
    """Ends and forgets whatever a test left in the shared supervisor, if that lives."""
    with contextlib.suppress(SupervisorError), Session(path, {}) as session:
        for state in session.list():
            session.stop(state.key, grace=0.0)
        until(lambda: all(state.state == "ended" for state in session.list()), "all have ended")
        for state in session.list():
            session.forget(state.key)


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """For tests that do not care whose supervisor it is: starting one takes longer than most of them."""
    place = tmp_path_factory.mktemp("shared-home")
    yield place
    shut_down_all(place)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A RELAYQ_HOME of its own."""
    place = tmp_path / "home"
    place.mkdir()
    yield place
    shut_down_all(place)


@pytest.fixture
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    """The socket of a supervisor: of `home` for tests that use it, else of a shared one without jobs."""
    if "home" in request.fixturenames:
        yield ensure(request.getfixturevalue("home"))
        return
    found = ensure(request.getfixturevalue("shared_home"))
    tidy(found)  # a test may have killed the last one, which leaves lost jobs behind
    yield found
    tidy(found)


@pytest.fixture
def session(path: str) -> Iterator[Session]:
    """A session with the supervisor."""
    with Session(path, ENV) as opened:
        yield opened


@pytest.fixture
def other(path: str) -> Iterator[Session]:
    """A second session with the same supervisor."""
    with Session(path, ENV) as opened:
        yield opened


def kill_supervisor(session: Session) -> None:
    """kill -9, and waits until its keeper has gone, too."""
    pid = session.supervisor_pid
    keeper = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid) and not alive(keeper), "the supervisor and its keeper are gone")
