"""However a job ends, all of it ends, in bounded time, and the reason is the true one."""

import os
import signal
import time
from pathlib import Path

import pytest

from relayq.supervisor import family, linux
from relayq.supervisor.client import Session
from tests.process.conftest import alive, follow, line, run, sh, until

# A daemon in the classic manner: double fork, own session, streams elsewhere. Prints its pid first.
DAEMON = "setsid sh -c '(sh -c \"echo \\$\\$; exec >/dev/null 2>&1 </dev/null; {body}\" &)'; "


def pids(text: bytes) -> list[int]:
    return [int(word) for word in text.split()]


def test_timeout_ends_a_group_that_ignores_term(session: Session):
    """TERM, grace, KILL: to the shell that ignores it and to its child alike."""
    script = "trap '' TERM; sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.05; done' & echo $$; wait"
    before = time.monotonic()
    session.start(sh("J/1", script, timeout=0.3, kill_grace=0.2))
    seen = follow(session)
    end = seen.exit
    assert (end.reason, end.exit_code, end.signal) == ("timed_out", None, signal.SIGKILL)
    assert 0.5 <= end.duration <= time.monotonic() - before < 5
    assert len(pids(seen.text())) == 2
    assert not any(alive(pid) for pid in pids(seen.text()))


def test_stop_gives_a_job_its_grace(session: Session):
    """A job that ends in order after TERM is not killed; its exit code is kept, the reason is the stop's."""
    session.start(sh("J/1", "trap 'sleep 0.2; echo bye; exit 5' TERM; echo ready; while :; do sleep 0.02; done"))
    assert line(session) == b"ready\n"
    session.stop("J/1", reason="worker_stopped")
    seen = follow(session)
    assert (seen.exit.reason, seen.exit.exit_code, seen.text()) == ("worker_stopped", 5, b"bye\n")


def test_term_comes_once(session: Session):
    """Many programs take a second TERM as an order to drop everything."""
    script = "trap 'echo term' TERM; echo ready; n=0; while [ $n -lt 20 ]; do n=$((n+1)); sleep 0.02; done"
    session.start(sh("J/1", f'sh -c "{script.replace("$", chr(92) + "$")}"; true'))
    assert line(session) == b"ready\n"
    session.stop("J/1")
    session.stop("J/1")
    assert follow(session).text().count(b"term") == 1


def test_group_is_signalled_as_one_and_others_by_number(session: Session, monkeypatch: pytest.MonkeyPatch):
    """A member of the group is not signalled a second time; who left the group is."""
    session.start(sh("J/1", "sh -c 'echo $$; sleep 300' & setsid sh -c 'echo $$; sleep 300' & wait"))
    text = b""
    while len(text.split()) < 2:
        text += line(session)
    pid = session.list()[0].pid
    escaped = next(other for other in pids(text) if os.getpgid(other) != pid)
    until(lambda: len(linux.children(escaped)) == 1, "its sleep runs")
    sent: list[tuple[str, int, int]] = []
    monkeypatch.setattr(family, "_send", lambda kill, pid, number: sent.append((kill.__name__, pid, number)))
    family.signal_family(pid, [pid], signal.SIGTERM)
    assert sent[0] == ("killpg", pid, signal.SIGTERM)
    assert {("kill", other, signal.SIGTERM) for other in [escaped, *linux.children(escaped)]} == set(sent[1:])


def test_second_stop_can_shorten_the_grace(session: Session):
    """A second Ctrl-C must not wait for the first one's patience."""
    session.start(sh("J/1", "trap '' TERM; echo ready; while :; do sleep 0.02; done", kill_grace=3600))
    assert line(session) == b"ready\n"
    session.stop("J/1", reason="first")
    session.stop("J/1", reason="second", grace=0)
    end = follow(session).exit
    assert (end.reason, end.signal) == ("first", signal.SIGKILL)


def test_stop_may_come_from_any_session(session: Session, other: Session):
    """The pulse stops what a slot runs."""
    session.start(sh("J/1", "echo ready; sleep 60"))
    assert line(session) == b"ready\n"
    other.stop("J/1", reason="cancelled")
    assert follow(session).exit.reason == "cancelled"


def test_exit_before_the_stop_is_recorded_as_it_was(session: Session, other: Session, tmp_path: Path):
    """P11: a stop that comes too late changes nothing, even if the supervisor has not seen the end yet."""
    for number in range(5):
        session.start(sh(f"J/{number}", f"while [ ! -e {tmp_path}/go{number} ]; do sleep 0.01; done; exit 3"))
        until(lambda: [state.state for state in other.list()] == ["running"], "it runs")
        pid = other.list()[0].pid
        os.kill(session.supervisor_pid, signal.SIGSTOP)
        (tmp_path / f"go{number}").touch()
        until(lambda pid=pid: not alive(pid), "it has ended, and nobody noticed")
        other.stop(f"J/{number}")
        os.kill(session.supervisor_pid, signal.SIGCONT)
        end = follow(session).exit
        assert (end.reason, end.exit_code) == ("exited", 3)
        session.forget(f"J/{number}")
        until(lambda: not other.list(), "it is forgotten")


def test_grandchild_that_holds_the_pipe_does_not_delay_the_end(session: Session):
    """A background process of the group is ended with its job, which is told within a second or so."""
    before = time.monotonic()
    seen = run(session, sh("J/1", "sleep 300 & echo $!; exit 4"))
    assert time.monotonic() - before < 5
    assert (seen.exit.reason, seen.exit.exit_code) == ("exited", 4)
    assert not alive(pids(seen.text())[0])


def test_remains_that_ignore_term_are_killed(session: Session):
    """What outlives its job gets a short grace and then KILL."""
    script = "sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.02; done' & read x < /dev/null; sleep 0.2; exit 0"
    before = time.monotonic()
    seen = run(session, sh("J/1", script))
    assert time.monotonic() - before < 5
    assert seen.exit.exit_code == 0
    assert not alive(pids(seen.text())[0])


def test_remains_get_the_grace_of_the_stop(session: Session):
    """After a stop, a child that ends in order has as long as its parent, though that died at once."""
    script = "sh -c 'trap \"sleep 1.2; echo saved; exit\" TERM; echo ready; while :; do sleep 0.02; done' & wait"
    session.start(sh("J/1", script))
    assert line(session) == b"ready\n"
    session.stop("J/1")
    seen = follow(session)
    assert (seen.exit.reason, seen.exit.signal, seen.text()) == ("cancelled", signal.SIGTERM, b"saved\n")


@pytest.mark.parametrize("ending", ["exit", "stop", "timeout"])
@pytest.mark.parametrize("env", ["", "env -i "], ids=["marked", "unmarked"])
def test_daemon_of_a_job_ends_with_it(session: Session, ending: str, env: str):
    """P12: who left session, group and parent is found; also when it threw its environment away."""
    script = DAEMON.format(body="trap '' TERM; while :; do sleep 0.02; done").replace("(sh", f"({env}sh")
    script += "sleep 0.1; " if ending == "exit" else "echo main; sleep 300"
    session.start(sh("J/1", script, timeout=0.5 if ending == "timeout" else None, kill_grace=0.3))
    if ending == "stop":
        text = b""
        while b"main" not in text:
            text += line(session)
        session.stop("J/1")
        seen = follow(session)
    else:
        seen = follow(session)
        text = seen.text()
    assert seen.exit.reason == {"exit": "exited", "stop": "cancelled", "timeout": "timed_out"}[ending]
    (daemon,) = pids(text.replace(b"main", b""))
    until(lambda: not alive(daemon), "the daemon is gone", patience=5)


def test_daemon_of_one_job_outlives_another_job(session: Session, other: Session):
    """An orphan is ended with its own job, not with whichever ends first."""
    session.start(sh("A/1", DAEMON.format(body="while :; do sleep 0.05; done") + "sleep 300"))
    (daemon,) = pids(line(session))
    for number in range(3):
        run(other, sh(f"B/{number}", "true"))
    assert alive(daemon)
    session.stop("A/1")
    follow(session)
    assert not alive(daemon)


def test_zombies_are_reaped(session: Session):
    """Orphans that end by themselves do not pile up."""
    for number in range(5):
        run(session, sh(f"J/{number}", "(sleep 0.01 &) ; (setsid sleep 0.02 &)"))
    pid = session.supervisor_pid
    until(lambda: Path(f"/proc/{pid}/task/{pid}/children").read_text() == "", "no child is left", patience=5)


def test_stop_of_unknown_attempts_is_harmless(session: Session):
    """Late words about ended attempts change nothing."""
    session.stop("J/1")
    session.freeze("J/1")
    session.thaw("J/1")
    session.forget("J/1")
    session.deadlines({"J/1": 5.0})
    assert run(session, sh("J/1", "echo hi")).text() == b"hi\n"


def test_shutdown_ends_all_jobs_and_the_supervisor(session: Session, other: Session, home: Path):
    """TERM, grace, KILL to every job; who listens hears it; the process goes."""
    other.start(sh("A/1", "echo $$; sleep 300"))
    (first,) = pids(line(other))
    other.start(sh("B/1", "trap '' TERM; echo $$; while :; do sleep 0.02; done"))
    (second,) = pids(line(other))
    assert session.shutdown(grace=0.3)
    assert {follow(other).exit.reason for _ in range(2)} == {"worker_stopped"}
    assert not alive(first)
    assert not alive(second)
    until(lambda: not alive(session.supervisor_pid), "the supervisor is gone")
    assert list(home.glob("supervisor/*/socket")) == []


def test_term_to_the_supervisor_gives_its_jobs_back(session: Session, other: Session):
    """When the machine goes down its jobs did not fail: they are lost, and given back."""
    other.start(sh("A/1", "echo ready; sleep 300"))
    assert line(other) == b"ready\n"
    os.kill(session.supervisor_pid, signal.SIGTERM)
    assert follow(other).exit.reason == "supervisor_lost"
    until(lambda: not alive(session.supervisor_pid), "the supervisor is gone")
