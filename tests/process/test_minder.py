"""The minder: starts a killed or crashed worker again, and stays out of every other end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from relayq import minder
from tests.conftest import wait_until


class Minded:
    """A minder with a stand-in worker that writes down each of its lives and what it was told."""

    def __init__(self, folder: Path, program: str) -> None:
        self.lives = folder / "lives"
        self.heard = folder / "heard"
        text = f"import os, signal, sys, time\nopen({str(self.lives)!r}, 'a').write(f'{{os.getpid()}}\\n')\n{program}"
        argv, added = minder.command([sys.executable, "-c", text])
        self.process = subprocess.Popen(argv, env=os.environ | added, stderr=subprocess.PIPE)

    def pids(self) -> list[int]:
        lines = self.lives.read_text().splitlines(keepends=True) if self.lives.exists() else []
        return [int(line) for line in lines if line.endswith("\n")]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[object]:
    """Starts one; all that is left is ended."""
    started: list[Minded] = []

    def begin(program: str) -> Minded:
        started.append(Minded(tmp_path, program.replace("HEARD", repr(str(tmp_path / "heard")))))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        assert one.process.stderr is not None
        one.process.stderr.close()
        for pid in one.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


SLEEP = "time.sleep(60)"
LISTEN = """
def told(number, frame):
    open(HEARD, 'a').write(f'{number}\\n')
    if number == signal.SIGTERM: sys.exit(0)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(number, told)
open(HEARD, 'a').write('ready\\n')
while True: time.sleep(0.1)
"""


def test_a_killed_worker_is_started_again(start) -> None:  # type: ignore[no-untyped-def]
    """kill -9, or the kernel out of memory: nobody has to notice."""
    one = start(SLEEP)
    for life in (1, 2):
        wait_until(lambda n=life: len(one.pids()) == n)
        os.kill(one.pids()[-1], signal.SIGKILL)
    wait_until(lambda: len(one.pids()) == 3)
    assert one.process.poll() is None


def test_a_crash_is_an_end_to_be_mended(start) -> None:  # type: ignore[no-untyped-def]
    """An exit code nobody meant."""
    one = start("sys.exit(1)")
    wait_until(lambda: len(one.pids()) == 2)


@pytest.mark.parametrize("code", [0, 2, 4, 5])
def test_a_worker_that_ends_in_peace_or_is_refused_stays_ended(start, code: int) -> None:  # type: ignore[no-untyped-def]
    """A wrong password does not get better by trying."""
    one = start(f"sys.exit({code})")
    assert one.process.wait(10) == code
    assert len(one.pids()) == 1


def test_what_the_minder_is_told_the_worker_hears_once(start) -> None:  # type: ignore[no-untyped-def]
    """A second Ctrl-C means something else than the first."""
    one = start(LISTEN)

    def heard() -> list[str]:
        return one.heard.read_text().split() if one.heard.exists() else []

    wait_until(lambda: heard() == ["ready"])
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        one.process.send_signal(number)
        wait_until(lambda n=number: heard()[-1] == str(int(n)))
    assert one.process.wait(10) == 0
    assert heard() == ["ready", "2", "1", "15"]


def test_told_to_stop_between_two_lives_it_stops(start) -> None:  # type: ignore[no-untyped-def]
    """Not another worker after `relayq down`."""
    one = start("sys.exit(1)")
    wait_until(lambda: len(one.pids()) == 3)
    one.process.terminate()
    assert one.process.wait(10) in (0, 128 + signal.SIGTERM, 1)


def test_it_is_not_taken_for_a_worker(start) -> None:  # type: ignore[no-untyped-def]
    """`pgrep -f "celery.*relayq"` counts workers."""
    argv, _ = minder.command([sys.executable, "-m", "celery", "-A", "relayq.tasks", "worker"])
    assert "celery" not in " ".join(argv)


def test_a_service_manager_makes_it_unnecessary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that start it again would start two."""
    assert minder.needed({})
    assert minder.needed({"XPC_SERVICE_NAME": "0"})
    assert not minder.needed({"INVOCATION_ID": "abc"})
    assert not minder.needed({"INVOCATION_ID": "abc", "SYSTEMD_EXEC_PID": str(os.getpid())})
    assert minder.needed({"INVOCATION_ID": "abc", "SYSTEMD_EXEC_PID": "1"}), "a terminal's, which systemd started"
    assert minder.needed({"XPC_SERVICE_NAME": "com.apple.Terminal"}), "likewise on a Mac"
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert not minder.needed({"XPC_SERVICE_NAME": "com.user.relayq.worker"})
