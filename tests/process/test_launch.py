"""How a supervisor is found, started and replaced."""

import os
import shutil
import socket
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import relayq
from relayq.supervisor import wire
from relayq.supervisor.client import Session, SupervisorUnavailable, ensure, others
from relayq.supervisor.launch import ensure_version
from relayq.supervisor.paths import Paths
from tests.process.conftest import ENV, alive, follow, line, run, sh, until

ENSURE = """
import sys
from pathlib import Path
from relayq.supervisor.client import Session, ensure
sys.stdin.readline()
with Session(ensure(Path(sys.argv[1])), {}) as session:
    print(session.supervisor_pid)
"""


def test_callers_at_the_same_time_start_one(home: Path):
    """Two workers that come up together share one supervisor."""
    callers = [
        subprocess.Popen([sys.executable, "-c", ENSURE, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    for caller in callers:
        caller.stdin.write(b"\n")
        caller.stdin.flush()
    pids = {caller.communicate(timeout=20)[0] for caller in callers}
    assert len(pids) == 1
    assert [caller.returncode for caller in callers] == [0] * 4


def test_supervisor_outlives_its_starter_and_is_found_again(home: Path):
    """It is nobody's child but its keeper's, in a session of its own."""
    caller = subprocess.run(
        [sys.executable, "-c", ENSURE, str(home)], input=b"\n", stdout=subprocess.PIPE, check=True, timeout=20
    )
    with Session(ensure(home), ENV) as session:
        assert session.supervisor_pid == int(caller.stdout)
        assert os.getsid(session.supervisor_pid) != os.getsid(0)
        assert Path(f"/proc/{session.supervisor_pid}/cwd").readlink() == Path("/")


def test_socket_is_for_its_owner_only(home: Path, path: str):
    """Who can write to the socket can run commands."""
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(path).parent.stat().st_mode) == 0o700


def test_folder_that_others_can_write_is_not_trusted(home: Path, path: str):
    """A socket that somebody else could have put there is not talked to."""
    Path(path).parent.chmod(0o777)
    with pytest.raises(SupervisorUnavailable, match="can be written by others; run: chmod 700"):
        ensure(home)
    Path(path).parent.chmod(0o700)


def test_long_home_gets_a_socket_elsewhere(home: Path):
    """A Unix socket's path is limited to about a hundred bytes; a home's is not."""
    deep = home / ("x" * 60) / ("y" * 60)
    deep.mkdir(parents=True)
    found = ensure(deep)
    assert not found.startswith(str(home))
    assert stat.S_IMODE(Path(found).parent.stat().st_mode) == 0o700
    assert ensure(deep) == found
    with Session(found, ENV) as session:
        assert run(session, sh("J/1", "echo hi")).text() == b"hi\n"
        assert session.shutdown()
    assert not Path(found).exists()


def test_home_that_is_no_folder_is_refused_with_a_sentence(home: Path):
    """Nothing can be kept where nothing can be written."""
    (home / "file").write_text("")
    with pytest.raises(SupervisorUnavailable, match=r"the folder .*/file/supervisor cannot be used: Not a directory"):
        ensure(home / "file")


def test_disk_trouble_is_survived_in_memory(home: Path, session: Session):
    """When outcomes cannot be written they stay in memory, which is said once."""
    places = Paths(str(home), relayq.__version__)
    Path(places.outcomes).write_text("in the way")
    Path(places.table + "~").mkdir()
    for number in range(3):
        session.start(sh(f"J/{number}", "echo hi"))
        follow(session)
    session.start(sh("Long/1", "sleep 300"))
    log = home / "supervisor" / "supervisor.log"
    until(lambda: "stay in memory" in log.read_text() and "cannot be noted" in log.read_text(), "both are said")
    assert session.next(timeout=1.2) is None  # one more round of attempts to write
    session.attach("J/1")
    assert follow(session).text() == b"hi\n"
    assert log.read_text().count("stay in memory") == 1
    assert log.read_text().count("cannot be noted") == 1
    Path(places.outcomes).unlink()
    until(lambda: len(list(Path(places.outcomes).glob("*"))) == 3, "they are written when that is possible again")


def test_wrong_protocol_is_answered_with_a_sentence(path: str):
    """A worker of another release learns why it cannot be served."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(wire.frame({"op": "hello", "protocol": 99, "version": "9.9"}))
        reader = wire.Reader()
        while data := sock.recv(65536):
            reader.feed(data)
    ((header, _),) = reader.frames()
    assert header["op"] == "refused"
    assert header["error"].startswith(
        f"the supervisor (relayq {relayq.__version__}) speaks protocol 1, relayq 9.9 speaks"
    )


def test_refusal_reaches_the_caller(path: str, monkeypatch: pytest.MonkeyPatch):
    """The sentence is what the worker raises."""
    monkeypatch.setattr(wire, "PROTOCOL", 99)
    with pytest.raises(SupervisorUnavailable, match="speaks protocol 1"):
        Session(path, {})


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n" * 10,
        struct.pack("!II", 5, 0) + b"{bad}",
        struct.pack("!II", 2, 0) + b"[]",
        struct.pack("!II", 0xFFFFFFFF, 0xFFFFFFFF),
        struct.pack("!II", 100_000, 0) + b"[" * 100_000,
        wire.frame({"op": "list"}),
        wire.frame({"op": "hello", "protocol": 1, "env": [1]}),
        wire.frame({"op": "hello", "protocol": 1}) + wire.frame({"op": "what"}),
        wire.frame({"op": "hello", "protocol": 1}) + wire.frame({"op": "start", "key": "../../x/1", "argv": []}),
        wire.frame({"op": "hello", "protocol": 1}) + wire.frame({"op": "start", "key": "J/1", "argv": [1]}),
        wire.frame({"op": "hello", "protocol": 1})
        + wire.frame({"op": "start", "key": "J/1", "argv": ["true"], "timeout": float("nan")}),
        wire.frame({"op": "hello", "protocol": 1})
        + wire.frame({"op": "start", "key": "J/1", "argv": ["true"], "forget": 1}),
        wire.frame({"op": "hello", "protocol": 1}) + wire.frame({"op": "deadlines", "at": {"J/1": "soon"}}),
    ],
    ids=lambda data: repr(data[8:30]),
)
def test_garbage_costs_only_its_sender(path: str, session: Session, garbage: bytes):
    """Who does not speak the language is hung up on; everybody else goes on."""
    session.start(sh("Good/1", "echo ready; sleep 300"))
    assert line(session) == b"ready\n"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(path)
        sock.sendall(garbage)
        while sock.recv(65536):
            pass
    assert [s.key for s in session.list() if s.state == "running"] == ["Good/1"]


def test_half_a_frame_holds_nobody_up(path: str, session: Session):
    """A client that stops in the middle of a word only waits for itself."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(struct.pack("!II", 100, 0) + b'{"op":')
        assert run(session, sh("J/1", "echo hi")).text() == b"hi\n"


def test_old_version_empties_and_leaves_by_itself(home: Path):
    """After an upgrade the new supervisor takes new jobs, and the old one goes when it owes nothing."""
    old = Session(ensure_version(home, "0.1"), ENV)
    old.start(sh("Old/1", "echo ready; read x < /dev/null; sleep 0.5; echo old"))
    assert line(old) == b"ready\n"
    with Session(ensure(home), ENV) as new:
        assert new.supervisor_pid != old.supervisor_pid
        assert run(new, sh("New/1", "echo new")).text() == b"new\n"
        (socket_path,) = others(home)
        pid = old.supervisor_pid
        old.close()
        with Session(socket_path, ENV) as adopting:
            assert [s.key for s in adopting.list()] == ["Old/1"]
            adopting.attach("Old/1", {1: 6})
            assert follow(adopting).text() == b"old\n"
            adopting.forget("Old/1")
        until(lambda: not alive(pid), "the old supervisor left")
        assert others(home) == []
        assert alive(new.supervisor_pid)


def test_empty_supervisor_leaves_after_a_while(home: Path):
    """Nobody needs to tidy up: without clients, jobs and outcomes it goes, and `ensure` starts another."""
    with Session(ensure_version(home, relayq.__version__, linger=0.2), ENV) as session:
        pid = session.supervisor_pid
        assert session.next(timeout=0.5) is None
        assert alive(pid), "a client keeps it"
    until(lambda: not alive(pid), "it left")
    with Session(ensure(home), ENV) as session:
        assert session.supervisor_pid != pid


def test_undelivered_outcome_keeps_an_empty_supervisor(home: Path):
    """As long as something is owed it stays."""
    with Session(ensure_version(home, relayq.__version__, linger=0.1), ENV) as session:
        session.start(sh("J/1", "true"))
        follow(session)
        pid = session.supervisor_pid
    with pytest.raises(AssertionError):
        until(lambda: not alive(pid), "it left", patience=1.5)
    with Session(ensure(home), ENV) as session:
        session.forget("J/1")
    until(lambda: not alive(pid), "it left")


def test_supervisor_of_a_removed_home_leaves(home: Path):
    """What it owes can no longer be asked for."""
    with Session(ensure_version(home, relayq.__version__, linger=0.1), ENV) as session:
        session.start(sh("J/1", "true"))
        follow(session)
        shutil.rmtree(home)
        pid = session.supervisor_pid
    until(lambda: not alive(pid), "it left")
    assert not home.exists()


def test_dead_old_version_is_taken_over(home: Path):
    """Outcomes and lost jobs of another version's dead supervisor are offered by this one's."""
    from tests.process.conftest import kill_supervisor

    old = Session(ensure_version(home, "0.1"), ENV)
    old.start(sh("Done/1", "echo done"))
    old.start(sh("Run/1", "sleep 300"))
    old.start(sh("Run/1", "sleep 300"))
    until(lambda: list(home.glob("supervisor/0.1/outcomes/*.outcome")), "the outcome is on disk")
    until(lambda: list(home.glob("supervisor/0.1/running.json")), "the job is noted")
    kill_supervisor(old)
    with Session(ensure(home), ENV) as new:
        assert {s.key: s.reason for s in new.list()} == {"Done/1": "exited", "Run/1": "supervisor_lost"}
        new.attach("Done/1")
        assert follow(new).text() == b"done\n"
    assert not (home / "supervisor" / "0.1").exists()


def test_started_by_hand(home: Path):
    """python -m relayq.supervisor --home DIR"""
    subprocess.run([sys.executable, "-m", "relayq.supervisor", "--home", str(home)], check=True, timeout=20)
    until(lambda: list(home.glob("supervisor/*/socket")), "its socket is there")
    with Session(ensure(home), ENV) as session:
        command = Path(f"/proc/{session.supervisor_pid}/cmdline").read_text()
        assert "--home" in command
