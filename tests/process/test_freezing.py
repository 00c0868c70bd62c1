"""P5: a job whose deadline passes waits frozen until its worker is heard again."""

import time
from pathlib import Path

import pytest

from relayq.supervisor.client import Output, Session, State
from tests.process.conftest import follow, line, sh, until

TICKER = "trap 'echo term; exit 0' TERM; while :; do echo tick; sleep 0.02; done"


def known(session: Session) -> State | None:
    """The one attempt, once it has begun."""
    return next(iter(session.list()), None)


def state(session: Session) -> str | None:
    found = known(session)
    return found and found.state


def printed(session: Session) -> int:
    found = known(session)
    return found.offsets[1] if found else 0


def process_state(pid: int) -> str:
    """As the kernel calls it: S sleeping, T stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_deadline_freezes_and_renewal_thaws(session: Session, other: Session):
    """Everything stops at the deadline, and goes on when the worker is heard."""
    session.start(sh("J/1", TICKER, deadline=0.2))
    until(lambda: state(other) == "frozen", "the job is frozen")
    assert process_state(known(other).pid) == "T"
    other.deadlines({"J/1": 60.0})
    before = printed(other)
    until(lambda: printed(other) > before, "it ticks again")
    assert state(other) == "running"
    other.deadlines({"J/1": 0.1})
    until(lambda: state(other) == "frozen", "it is frozen again")
    other.deadlines({"J/1": None})
    before = printed(other)
    until(lambda: printed(other) > before, "it ticks again")


def test_a_deadline_that_has_passed_is_moved_only_to_thaw(session: Session, other: Session):
    """A worker that cannot ask the store may prolong, but another machine may have what has stopped already."""
    session.start(sh("J/1", TICKER, deadline=0.3))
    other.deadlines({"J/1": 0.6}, thaw=False)
    until(lambda: state(other) == "frozen", "the job is frozen")
    frozen_at = printed(other)
    other.deadlines({"J/1": 60.0}, thaw=False)
    assert state(other) == "frozen"
    other.deadlines({"J/1": 60.0})
    until(lambda: printed(other) > frozen_at, "it ticks again")


def test_renewed_deadline_does_not_freeze(session: Session, other: Session):
    """As long as the worker is heard, the job runs."""
    session.start(sh("J/1", "sleep 1; echo done; sleep 300", deadline=0.4))
    give_up_at = time.monotonic() + 10
    while time.monotonic() < give_up_at:
        other.deadlines({"J/1": 0.4})
        states = [s.state for s in other.list()]
        assert "frozen" not in states
        if (frame := session.next(timeout=0.05)) is not None:
            assert frame == Output("J/1", 1, 0, b"done\n")
            return
    pytest.fail("the job did not end")


def test_freeze_false_never_freezes(session: Session):
    """Some jobs may run unseen."""
    session.start(sh("J/1", "sleep 0.5; echo done", deadline=0.1, freeze=False))
    seen = follow(session)
    assert seen.text() == b"done\n"
    assert seen.exit.duration < 5


def test_freeze_reaches_the_whole_family(session: Session, other: Session):
    """Children, and daemons that left the group, stop and go on, too."""
    script = (
        "sh -c 'echo $$; exec sleep 300' & setsid sh -c '(sh -c \"echo \\$\\$; exec sleep 301\" &)'; exec sleep 302"
    )
    session.start(sh("J/1", script))
    text = b""
    while len(text.split()) < 2:
        text += line(session)
    pids = [*map(int, text.split()), known(other).pid]
    other.freeze("J/1")
    until(lambda: {process_state(pid) for pid in pids} == {"T"}, "all are stopped")
    other.thaw("J/1")
    until(lambda: {process_state(pid) for pid in pids} == {"S"}, "all go on")


def test_frozen_time_does_not_count(session: Session, other: Session):
    """Neither for the timeout nor for the duration."""
    session.start(sh("J/1", "sleep 0.1; echo ready; sleep 300", timeout=0.6))
    assert line(session) == b"ready\n"
    other.freeze("J/1")
    until(lambda: state(other) == "frozen", "it is frozen")
    assert session.next(timeout=1.2) is None
    other.thaw("J/1")
    end = follow(session).exit
    assert end.reason == "timed_out"
    assert 0.6 <= end.duration < 1.2 < end.ended_at - end.started_at


def test_stop_ends_a_frozen_job_in_order(session: Session, other: Session):
    """A frozen job hears TERM, and may use its grace."""
    session.start(sh("J/1", TICKER))
    line(session)
    other.freeze("J/1")
    until(lambda: state(other) == "frozen", "it is frozen")
    other.stop("J/1")
    seen = follow(session)
    assert (seen.exit.reason, seen.exit.exit_code) == ("cancelled", 0)
    assert seen.text().endswith(b"term\n")


def test_thaw_does_not_undo_a_passed_deadline(session: Session, other: Session):
    """Two causes must both be gone before the job goes on."""
    session.start(sh("J/1", TICKER, deadline=0.1))
    until(lambda: state(other) == "frozen", "it is frozen")
    other.freeze("J/1")
    other.thaw("J/1")
    assert state(other) == "frozen"
    other.freeze("J/1")
    other.deadlines({"J/1": 60.0})
    assert state(other) == "frozen"
    other.thaw("J/1")
    assert state(other) == "running"
