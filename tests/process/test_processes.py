"""Processes are told apart by more than a pid, and are ended for certain."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from relayq import processes

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
]


def wait_for(condition, what: str, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


@pytest.fixture
def spawn(tmp_path):
    """Start a program detached, wait until it says "up"; whatever still runs at the end is killed."""
    spawned = []

    def start(argv, **options):
        log = tmp_path / f"log-{len(spawned)}"
        process = processes.spawn_detached(argv, log, **options)
        spawned.append(process)
        wait_for(lambda: log.read_text().startswith("up"), f"no word from {argv}")
        return process

    yield start
    for process in spawned:
        processes.end(process.pid, process.token, 0)


def test_detached_process_has_a_session_of_its_own_and_no_input(spawn, tmp_path):
    """Closing the terminal, or Ctrl-C in it, must not reach it; and its log is private."""
    program = "import os, sys; print('up', os.getsid(0), os.getpid(), repr(sys.stdin.read()), os.getcwd(), flush=True)"
    process = spawn([sys.executable, "-c", program])
    wait_for(lambda: (tmp_path / "log-0").read_text().endswith("\n"), "the line is not whole")
    pid = str(process.pid)
    assert (tmp_path / "log-0").read_text().split() == ["up", pid, pid, "''", "/"]
    assert (tmp_path / "log-0").stat().st_mode & 0o777 == 0o600


def test_log_is_appended_to(tmp_path):
    """What the one before said is what one wants to read after a crash."""
    log = tmp_path / "log"
    log.write_text("before\n")
    process = processes.spawn_detached(["/bin/echo", "after"], log, {})
    assert processes.wait_ended(process.pid, process.token, 10)
    assert log.read_text() == "before\nafter\n"


def test_missing_program_is_an_error_of_the_call(tmp_path):
    """The caller hears it, not only the log."""
    with pytest.raises(FileNotFoundError):
        processes.spawn_detached([tmp_path / "none"], tmp_path / "log")


def test_ended_process_is_not_alive_before_it_is_waited_for():
    """A zombie has a pid and a start time, but does nothing."""
    child = subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL)
    token = processes.identify(child.pid)
    assert token
    assert processes.alive(child.pid, token)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert processes.identify(child.pid) is None
    child.wait()
    assert not processes.alive(child.pid, token)


def test_detached_process_leaves_no_zombie(spawn):
    """A program that starts many must not collect dead ones."""
    process = spawn(SLEEP)
    processes.end(process.pid, process.token, 10)

    def gone() -> bool:
        try:
            os.kill(process.pid, 0)
        except ProcessLookupError:
            return True
        return False

    wait_for(gone, "the dead process was not waited for")


def test_token_tells_processes_apart_and_is_the_same_for_every_observer(spawn):
    """The token goes into a file and is compared by other programs."""
    one, other = spawn(SLEEP), spawn(SLEEP)
    assert one.token != other.token
    program = f"from relayq import processes; print(processes.identify({one.pid}))"
    env = os.environ | {"TZ": "Asia/Tokyo", "LC_ALL": "de_DE.UTF-8"}
    told = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True).stdout
    assert told.strip() == one.token


def test_ps_names_the_same_process_as_long_as_it_lives(spawn):
    """Where there is no /proc, ps tells the start: constant for one process, absent after it."""
    process = spawn(SLEEP)
    first = processes._look_with_ps(process.pid)
    assert first is not None
    assert not first[1]
    assert first == processes._look_with_ps(process.pid)
    processes.end(process.pid, process.token, 10)
    wait_for(lambda: not Path(f"/proc/{process.pid}").exists(), "not reaped")
    assert processes._look_with_ps(process.pid) is None


def test_no_process_has_an_impossible_pid():
    """0 and below mean groups to kill(2): they must never be taken for a process."""
    for pid in (0, -1, 1 << 30):
        assert processes.identify(pid) is None
        assert processes.end(pid, "x", 1)


def test_wrong_token_is_never_signalled(spawn):
    """A pid that was used again belongs to a stranger."""
    process = spawn(SLEEP)
    assert processes.end(process.pid, process.token + "0", 1)
    assert processes.alive(process.pid, process.token)


def test_end_is_gentle_if_that_is_enough(spawn):
    """TERM first; True says that nothing had to be killed; again is no error."""
    process = spawn(SLEEP)
    assert processes.end(process.pid, process.token, 10) is True
    assert not processes.alive(process.pid, process.token)
    assert processes.end(process.pid, process.token, 10) is True


def test_end_kills_what_does_not_listen(spawn):
    """The end is bounded whatever the program does with TERM."""
    process = spawn(DEAF)
    assert processes.end(process.pid, process.token, 0.1) is False
    assert not processes.alive(process.pid, process.token)


def test_end_reaches_a_stopped_process(spawn):
    """A frozen process would hear TERM only when somebody lets it go on."""
    process = spawn(SLEEP)
    os.kill(process.pid, signal.SIGSTOP)
    # Until it has stopped, TERM would overtake STOP.
    wait_for(lambda: ") T " in Path(f"/proc/{process.pid}/stat").read_text(), "it did not stop")
    assert processes.end(process.pid, process.token, 10) is True
