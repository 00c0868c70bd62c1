"""When the supervisor dies its jobs die with it, and what it still owed is not forgotten."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

import relayq
from relayq.supervisor import leftovers, linux
from relayq.supervisor.client import Session, SupervisorGone, ensure
from relayq.supervisor.environment import mark_of
from relayq.supervisor.paths import Paths, home_id
from tests.process.conftest import ENV, alive, follow, kill_supervisor, line, run, sh, until


def shelved(home: Path) -> int:
    return len(list(home.glob("supervisor/*/outcomes/*.outcome")))


def test_kill_9_of_the_supervisor_kills_its_jobs(session: Session):
    """Shell, child and escaped daemon: none goes on running unseen, however young."""
    daemon = "setsid sh -c '(sh -c \"echo \\$\\$; exec sleep 301\" &)'"
    session.start(sh("J/1", f"sh -c 'echo $$; exec sleep 300' & sleep 0.05; {daemon}; echo $$; exec sleep 302"))
    text = b""
    while len(text.split()) < 3:
        text += line(session)
    kill_supervisor(session)
    for pid in text.split():
        assert not alive(int(pid))
    with pytest.raises(SupervisorGone):
        session.next(timeout=5)


def test_undelivered_outcome_survives_kill_9(home: Path, session: Session):
    """An outcome older than a second is on disk, with its output, and is offered after a restart."""
    session.start(sh("J/1", "echo out; echo err >&2; exit 6"))
    session.start(sh("J/2", "seq 100000 199999", max_output_bytes=300_000))
    until(lambda: shelved(home) == 2, "both outcomes are on disk")
    kill_supervisor(session)
    with Session(ensure(home), ENV) as again:
        assert {s.key: (s.state, s.reason) for s in again.list()} == {
            "J/1": ("ended", "exited"),
            "J/2": ("ended", "exited"),
        }
        again.attach("J/1", {1: 2})
        seen = follow(again)
        assert (seen.text(1), seen.text(2), seen.exit.exit_code) == (b"t\n", b"err\n", 6)
        again.attach("J/2")
        seen = follow(again)
        assert (len(seen.text()), seen.exit.dropped_bytes) == (300_000, 400_000)
        assert seen.text().endswith(b"199999\n")
        again.forget("J/1")
        again.forget("J/2")
        assert again.list() == []
    assert shelved(home) == 0


def test_delivered_outcomes_leave_the_disk_alone(home: Path, session: Session):
    """A short job whose outcome is taken at once costs no file."""
    for number in range(50):
        run(session, sh(f"J/{number}", "echo hi"))
    session.start(sh("Owed/1", "true"))
    until(lambda: shelved(home), "what is owed is written")
    assert [path.name for path in home.glob("supervisor/*/outcomes/*")] == ["Owed,1.outcome"]


def test_running_job_is_reported_as_lost_after_a_restart(home: Path, session: Session):
    """The next supervisor names the attempts that went with the last one."""
    session.start(sh("J/1", "sleep 300"))
    table = Paths(str(home), relayq.__version__).table
    until(lambda: [row["key"] for row in leftovers.read(table)[1]] == ["J/1"], "the job is in the table")
    kill_supervisor(session)
    with Session(ensure(home), ENV) as again:
        assert [(s.key, s.state, s.reason) for s in again.list()] == [("J/1", "ended", "supervisor_lost")]
        again.attach("J/1")
        end = follow(again).exit
        assert (end.reason, end.exit_code, end.signal) == ("supervisor_lost", None, None)
        again.forget("J/1")
        assert again.list() == []


def test_restart_ends_what_a_dead_supervisor_left(home: Path):
    """Without a keeper (macOS, or both were killed) the next start ends the leftovers."""
    places = Paths(str(home), relayq.__version__)
    Path(places.folder).mkdir(parents=True, mode=0o700)
    main = subprocess.Popen(["sleep", "300"], start_new_session=True)
    mark = mark_of(home_id(str(home)), "J/1")
    gone = subprocess.Popen(["setsid", "sleep", "301"], env={**os.environ, "RELAYQ_MARK": mark})
    elsewhere = subprocess.Popen(["setsid", "sleep", "301"], env={**os.environ, "RELAYQ_MARK": "other-home:J/1"})
    bystander = subprocess.Popen(["sleep", "302"], start_new_session=True)
    rows = [
        {"key": "J/1", "pid": main.pid, "start": linux.start_time(main.pid), "started_at": 1.0},
        {"key": "J/2", "pid": bystander.pid, "start": "1", "started_at": 1.0},
    ]
    Path(places.table).write_text(json.dumps({"boot": linux.boot_id(), "jobs": rows}))
    with Session(ensure(home), ENV) as session:
        assert {s.key: s.reason for s in session.list()} == {"J/1": "supervisor_lost", "J/2": "supervisor_lost"}
    assert main.wait(5) == gone.wait(5) == -signal.SIGKILL
    assert bystander.poll() is None, "a number that came again is not the job"
    assert elsewhere.poll() is None, "another home may have an attempt of the same name"
    for process in (bystander, elsewhere):
        process.kill()
        process.wait()


def test_leftovers_of_another_boot_are_not_looked_for(home: Path):
    """After a reboot a pid and a start time may fit by chance."""
    bystander = subprocess.Popen(["sleep", "302"], start_new_session=True)
    table = home / "running.json"
    row = {"key": "J/1", "pid": bystander.pid, "start": linux.start_time(bystander.pid), "started_at": 1.0}
    table.write_text(json.dumps({"boot": "another", "jobs": [row]}))
    assert leftovers.end(str(table), "home", print) == [row]
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_death_of_the_keeper_is_survived(home: Path, session: Session):
    """Jobs go on; from then on even young jobs are noted on disk, for the next start to end."""
    session.start(sh("J/1", "echo ready; sleep 300"))
    assert line(session) == b"ready\n"
    stat = Path(f"/proc/{session.supervisor_pid}/stat").read_text()
    os.kill(int(stat.rpartition(")")[2].split()[1]), signal.SIGKILL)
    log = home / "supervisor" / "supervisor.log"
    until(lambda: "keeper died" in log.read_text(), "the supervisor noticed")
    session.start(sh("J/2", "sleep 300"))
    session.list()
    keys = [row["key"] for row in leftovers.read(Paths(str(home), relayq.__version__).table)[1]]
    assert keys == ["J/1", "J/2"]
    pids = [state.pid for state in session.list()]
    os.kill(session.supervisor_pid, signal.SIGKILL)
    until(lambda: not alive(session.supervisor_pid), "the supervisor is gone")
    assert all(alive(pid) for pid in pids)
    with Session(ensure(home), ENV) as again:
        assert {s.reason for s in again.list()} == {"supervisor_lost"}
    assert not any(alive(pid) for pid in pids)


def test_half_written_files_do_no_harm(home: Path):
    """A supervisor that finds rubbish in its folder starts, and removes it."""
    places = Paths(str(home), relayq.__version__)
    Path(places.outcomes).mkdir(parents=True, mode=0o700)
    (Path(places.outcomes) / "J,1.outcome").write_bytes(b"\0\0\0")
    (Path(places.outcomes) / "J,2.outcome~").write_bytes(b"half")
    Path(places.table).write_text("{")
    with Session(ensure(home), ENV) as session:
        assert session.list() == []
        assert run(session, sh("J/1", "echo hi")).text() == b"hi\n"
    assert list(Path(places.outcomes).iterdir()) == []
