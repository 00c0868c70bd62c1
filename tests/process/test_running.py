"""What a job is given and what comes back."""

import contextlib
import os
import resource
import signal
import time
from pathlib import Path

import pytest

from relayq.supervisor import spawn
from relayq.supervisor.client import Exit, Order, Output, Session, SessionClosed
from tests.process.conftest import ENV, follow, line, run, sh, until


def test_short_job_comes_back_in_one_frame(session: Session):
    """A job that is over at once costs one frame there and one back."""
    session.start(Order(key="J/1", argv=["echo", "hi"]))
    frame = session.next(timeout=10)
    assert isinstance(frame, Exit)
    assert (frame.reason, frame.exit_code, frame.signal, frame.error) == ("exited", 0, None, None)
    assert frame.rest == (Output("J/1", 1, 0, b"hi\n"),)
    assert (frame.stdout_bytes, frame.stderr_bytes, frame.dropped_bytes) == (3, 0, 0)
    assert 0 < frame.duration < 10
    assert time.time() - 10 < frame.started_at <= frame.ended_at <= time.time()


def test_argv_is_passed_exactly(session: Session):
    """No shell touches an argv, and text that is no UTF-8 survives."""
    odd = os.fsdecode(b"\xff\xfe")
    seen = run(session, Order(key="J/1", argv=["printf", "%s|", "a b", "*", "$HOME", "", "é", odd]))
    assert seen.text() == b"a b|*|$HOME||\xc3\xa9|\xff\xfe|"


def test_output_is_byte_exact_on_both_streams(session: Session, tmp_path: Path):
    """Every byte value arrives, on the stream it was written to."""
    data = bytes(range(256)) * 300
    (tmp_path / "data").write_bytes(data)
    seen = run(session, sh("J/1", f"cat {tmp_path}/data; tac -s x {tmp_path}/data >&2; cat {tmp_path}/data >&2"))
    assert seen.text(1) == data
    assert seen.text(2).endswith(data)
    assert len(seen.text(2)) == seen.exit.stderr_bytes == 2 * len(data)


@pytest.mark.parametrize("code", [0, 1, 77, 255])
def test_exit_code_is_the_jobs_own(session: Session, code: int):
    """The exit code is not interpreted."""
    end = run(session, sh("J/1", f"exit {code}")).exit
    assert (end.reason, end.exit_code, end.signal) == ("exited", code, None)


def test_death_by_signal_is_told_as_a_signal(session: Session):
    """A job that something else killed has a signal and no exit code."""
    end = run(session, sh("J/1", "kill -SEGV $$")).exit
    assert (end.reason, end.exit_code, end.signal) == ("exited", None, signal.SIGSEGV)


def test_stdin_is_the_given_bytes_or_nothing(session: Session):
    """Without stdin a job reads end-of-file at once; with it, exactly those bytes."""
    data = os.urandom(300_000)
    assert run(session, Order(key="J/1", argv=["cat"])).text() == b""
    assert run(session, Order(key="J/2", argv=["cat"], stdin=b"")).text() == b""
    assert run(session, Order(key="J/3", argv=["cat"], stdin=data)).text() == data


def test_cwd_is_home_unless_given(session: Session, tmp_path: Path):
    """A relative folder starts at HOME; without one, HOME it is."""
    (tmp_path / "sub").mkdir()
    env = {"HOME": str(tmp_path)}
    assert run(session, Order(key="J/1", argv=["pwd"], env=env)).text() == f"{tmp_path}\n".encode()
    assert run(session, Order(key="J/2", argv=["pwd"], env=env, cwd="sub")).text() == f"{tmp_path}/sub\n".encode()
    assert run(session, Order(key="J/3", argv=["pwd"], cwd=str(tmp_path))).text() == f"{tmp_path}\n".encode()
    assert run(session, Order(key="J/4", argv=["pwd"], env={"HOME": "/no/where"})).text() == b"/\n"


def test_environment_is_the_workers_without_secrets(path: str):
    """P15: the session's environment without RELAYQ_* secrets, the job's own over it, and the job's name."""
    base = {
        **ENV,
        "A": "base",
        "B": "base",
        "RELAYQ_BROKER_URL": "redis://:pw@broker",
        "RELAYQ_PASSWORD": "pw",
        "RELAYQ_JOIN_TOKEN": "pw",
        "RELAYQ_HOME": "/h",
        "OTHER_TOKEN": "kept",
    }
    with Session(path, base) as session:
        env = {"A": "own", "B": None, "RELAYQ_MY_TOKEN": "mine"}
        text = run(session, Order(key="some-job/7/nonce", argv=["env", "-0"], env=env)).text()
    found = dict(item.split("=", 1) for item in text.decode().split("\0") if item)
    assert found.pop("RELAYQ_MARK").endswith(":some-job/7/nonce")
    assert found == {
        **ENV,
        "A": "own",
        "RELAYQ_HOME": "/h",
        "OTHER_TOKEN": "kept",
        "RELAYQ_MY_TOKEN": "mine",
        "RELAYQ_JOB_ID": "some-job",
        "RELAYQ_ATTEMPT": "7",
    }


def test_job_inherits_nothing_of_the_supervisor(session: Session):
    """Only three open files, no blocked or ignored signals, its own session and group."""

    def said(number: int, *argv: str) -> list[bytes]:
        return run(session, Order(key=f"J/{number}", argv=[*argv])).text().split()

    assert said(1, "ls", "/proc/self/fd") == [b"0", b"1", b"2", b"3"]  # the last one is the listed folder
    _, blocked, _, ignored = said(2, "grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status")
    assert int(blocked, 16) == 0
    assert int(ignored, 16) & ~(3 << 31) == 0  # 32 and 33 are the C library's own
    assert len(set(said(3, "cut", "-d ", "-f1,5,6", "/proc/self/stat"))) == 1


@pytest.mark.parametrize(
    ("argv", "cwd", "sentence"),
    [
        (["no-such-program-here"], None, "no such program: no-such-program-here"),
        (["/no/such/program"], None, "no such program: /no/such/program"),
        (["/etc/passwd/x"], None, "no such program: /etc/passwd/x"),
        (["/etc"], None, "permission denied: /etc: it is a folder"),
        (["/etc/passwd"], None, "permission denied: /etc/passwd: it is not executable for this user"),
        (["TMP/no-interpreter"], None, "no such interpreter: the one that the first line of TMP/no-interpreter names"),
        (
            ["TMP/no-program"],
            None,
            "not a program this machine can run: TMP/no-program (a script needs a first line #!)",
        ),
        (["true"], "/no/such/folder", "no such folder: /no/such/folder"),
        (["true"], "/etc/passwd", "not a folder: /etc/passwd"),
        (["true", "x" * 200_000], None, "the command line and the environment are too long for this machine"),
        (["true", "a\0b"], None, "the command, its folder or its environment is not valid: embedded null byte"),
        ([], None, "the command is empty"),
    ],
)
def test_what_cannot_start_says_why(session: Session, tmp_path: Path, argv: list[str], cwd: str | None, sentence: str):
    """Each reason has its sentence, and is the job's own fault."""
    for name, text in (("no-interpreter", "#!/no/such/thing\n"), ("no-program", "what?\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    argv = [word.replace("TMP", str(tmp_path)) for word in argv]
    end = run(session, Order(key="J/1", argv=argv, cwd=cwd)).exit
    assert (end.reason, end.fault, end.error) == ("not_started", "job", sentence.replace("TMP", str(tmp_path)))
    assert (end.exit_code, end.signal) == (None, None)


def test_lack_of_descriptors_is_the_machines_fault():
    """What another machine, or this one later, could start is not held against the job."""
    null = os.open(os.devnull, os.O_RDWR)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    cwd = Path.cwd()
    before = open_descriptors()
    taken = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(before) + 3, limits[1]))
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(null))
        for _ in range(2):  # enough for one pipe, not for two
            os.close(taken.pop())
        with pytest.raises(spawn.NotStarted) as caught:
            spawn.start(["/bin/true"], {}, None, None, null)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        os.chdir(cwd)
        for fd in taken:
            os.close(fd)
    assert caught.value.fault == "machine"
    assert str(caught.value) == "this machine cannot start a process now: Too many open files"
    assert open_descriptors() == before
    os.close(null)


def open_descriptors() -> set[int]:
    """Of this process."""
    return {int(entry.name) for entry in Path("/proc/self/fd").iterdir() if entry.exists()}


def test_sessions_run_at_the_same_time(session: Session, other: Session):
    """A slot's job does not wait for another's, and each gets its own frames."""
    session.start(sh("A/1", "read x; echo $x", stdin=b"from A\n"))
    other.start(sh("B/1", "sleep 0.3; echo from B"))
    assert follow(session).text() == b"from A\n"
    assert [state.state for state in session.list() if state.key == "B/1"] == ["running"]
    assert follow(other).text() == b"from B\n"


def test_one_session_may_hold_many_jobs(session: Session):
    """Frames carry their attempt's key."""
    for number in range(20):
        session.start(sh(f"J{number}/1", f"sleep 0.0{number % 5}; echo {number}"))
    ends = [session.next(timeout=10) for _ in range(20)]
    assert {end.key: end.rest[0].data for end in ends} == {f"J{n}/1": f"{n}\n".encode() for n in range(20)}


def test_order_repeated_starts_nothing_twice(session: Session, other: Session, tmp_path: Path):
    """A start whose answer was lost may be sent again: it attaches."""
    order = sh("J/1", f"echo run >> {tmp_path}/log; echo hi; sleep 0.3")
    session.start(order)
    assert line(session) == b"hi\n"
    other.start(order)
    assert follow(other).text() == b"hi\n"
    other.start(order)
    assert follow(other).text() == b"hi\n"
    assert (tmp_path / "log").read_text() == "run\n"


def test_forgotten_attempts_are_gone(session: Session):
    """`forget`, also on the way of the next start, drops the record."""
    session.start(sh("J/1", "true"))
    follow(session)
    assert [(s.key, s.state, s.reason) for s in session.list()] == [("J/1", "ended", "exited")]
    session.start(sh("J/2", "true"), forget=("J/1",))
    follow(session)
    session.forget("J/2")
    assert session.list() == []
    session.attach("J/1")
    assert follow(session).exit.reason == "unknown"


def test_list_tells_what_runs(session: Session):
    """Key, pid, state, start and how much was printed."""
    session.start(sh("J/1", "printf out; printf error >&2; sleep 60"))
    until(lambda: session.list()[0].offsets == {1: 3, 2: 5}, "the output is counted")
    (state,) = session.list()
    assert (state.key, state.state, state.reason) == ("J/1", "running", None)
    assert Path(f"/proc/{state.pid}/cmdline").read_bytes().startswith(b"/bin/sh")
    assert abs(state.started_at - time.time()) < 10


def test_next_returns_none_after_its_timeout(session: Session):
    """A slot can wait for a bounded time."""
    session.start(sh("J/1", "sleep 60"))
    before = time.monotonic()
    assert session.next(timeout=0.1) is None
    assert 0.09 < time.monotonic() - before < 5


def test_interrupt_ends_a_wait_at_once(session: Session):
    """Another thread can free a slot whose thread waits; the job goes on."""
    import threading

    session.start(sh("J/1", "sleep 60"))
    caught: list[BaseException] = []

    def wait() -> None:
        try:
            session.next()
        except SessionClosed as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    assert not caught
    session.interrupt()
    thread.join(5)
    assert caught
    with pytest.raises(SessionClosed):
        session.next()
    with pytest.raises(SessionClosed):
        session.start(sh("J/2", "true"))
