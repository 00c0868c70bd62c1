"""What becomes of jobs when workers come and go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from relayq.model import Reason, State
from relayq.supervisor.client import Session
from relayq.supervisor.launch import living
from relayq.worker.ending import shut_down
from tests.conftest import wait_until

from .conftest import Fleet
from .test_jobs import alive
from .test_media import film


def test_a_worker_is_found_as_in_1x(fleet: Fleet) -> None:
    """`pgrep -f "celery.*relayq"` finds it, and not the supervisor."""
    worker = fleet.start()
    fleet.client.run("true").get(timeout=10)
    found = subprocess.run(["pgrep", "-f", "celery.*relayq"], capture_output=True, text=True, check=True).stdout
    assert str(worker.process.pid) in found.split()
    with Session(living(worker.home)[0], {}) as session:
        assert str(session.supervisor_pid) not in found.split()


def test_a_job_for_a_machine_that_is_away_starts_within_two_seconds_of_its_return(fleet: Fleet) -> None:
    """It waits, and says for whom."""
    worker = fleet.start("mac-mini")
    worker.signal(signal.SIGTERM)
    worker.process.wait(10)
    handle = fleet.client.run_on("mac-mini", "echo back")
    assert "waits for mac-mini, which is offline since" in handle.explain().sentence
    worker.start()
    fleet.online("mac-mini")
    registered = time.monotonic()
    assert handle.get(timeout=10) == "back\n"
    assert time.monotonic() - registered < 2


def test_term_lets_go_of_jobs_and_the_next_worker_finishes_them(fleet: Fleet) -> None:
    """P9, P10: a restart or an upgrade ends no job, and its output has no gap and no repeat."""
    worker = fleet.start()
    handle = fleet.client.run("for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.5; done; exit 5")
    wait_until(lambda: list(handle.logs()))
    stopped = time.monotonic()
    worker.signal(signal.SIGTERM)
    assert worker.process.wait(6) == 0
    assert time.monotonic() - stopped < 5
    worker.start()
    result = handle.result(timeout=30)
    assert result.stdout == b"".join(b"%d\n" % i for i in range(1, 9))
    assert (result.exit_code, len(result.attempts)) == (5, 1)


def test_kill_9_of_the_worker_ends_no_job(fleet: Fleet) -> None:
    """Also when the process ends while no worker is there."""
    worker = fleet.start()
    ends = fleet.client.run("echo before; sleep 1; echo after; exit 3")
    goes_on = fleet.client.run("echo one; sleep 5; echo two")
    # Running is not enough: a claim whose process was never started is given back, rightly.
    wait_until(lambda: list(ends.logs()) and list(goes_on.logs()))
    worker.kill()
    time_over = time.monotonic() + 1.5
    wait_until(lambda: time.monotonic() > time_over)
    worker.start()
    result = ends.result(timeout=20)
    assert (result.stdout, result.exit_code, len(result.attempts)) == (b"before\nafter\n", 3, 1)
    result = goes_on.result(timeout=20)
    assert (result.stdout, result.exit_code, len(result.attempts)) == (b"one\ntwo\n", 0, 1)


def test_a_second_interrupt_ends_the_jobs_and_gives_them_back(fleet: Fleet, tmp_path: Path) -> None:
    """Uncounted: nobody lost anything (P10)."""
    worker = fleet.start()
    handle = fleet.client.run(f"echo $$ > {tmp_path}/pid; sleep 600")
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    worker.signal(signal.SIGINT)
    wait_until(lambda: "press Ctrl-C again" in worker.log.read_text(), describe=fleet.logs)
    worker.signal(signal.SIGINT)
    worker.process.wait(10)
    wait_until(lambda: not alive(int((tmp_path / "pid").read_text())), describe=fleet.logs)
    wait_until(lambda: handle.state is State.QUEUED, describe=lambda: (handle.job(), fleet.logs()))
    job = handle.job()
    assert job.losses == 0
    assert job.attempts[0].outcome is not None
    assert job.attempts[0].outcome.reason is Reason.WORKER_STOPPED


@pytest.mark.parametrize("fleet", [1.5], indirect=True)
def test_a_lost_machines_job_is_finished_by_another(fleet: Fleet, tmp_path: Path) -> None:
    """The plain lease rule: attempt 2, and the record shows both."""
    first, _ = fleet.start("one", slots=1), fleet.start("two", slots=1)
    handle = fleet.client.run(f"echo $RELAYQ_ATTEMPT >> {tmp_path}/starts; sleep 2; echo done", prefer=["one"])
    wait_until((tmp_path / "starts").exists)
    first.lose_power()
    assert handle.get(timeout=30) == "done\n"
    attempts = handle.job().attempts
    assert [a.worker for a in attempts] == ["one", "two"]
    assert attempts[0].outcome is not None
    assert attempts[0].outcome.reason is Reason.WORKER_LOST
    assert (tmp_path / "starts").read_text() == "1\n2\n"


@pytest.mark.parametrize("fleet", [1.5], indirect=True)
def test_a_returning_machine_ends_its_stale_process(fleet: Fleet, tmp_path: Path) -> None:
    """Its worker died, its supervisor went on: what was given to another is ended, unheard."""
    first, _ = fleet.start("one", slots=1), fleet.start("two", slots=1)
    handle = fleet.client.run(f"echo $$ >> {tmp_path}/pids; sleep 6; echo done by $RELAYQ_ATTEMPT", prefer=["one"])
    wait_until(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text().strip())
    first.kill()
    wait_until(lambda: len(handle.job().attempts) == 2, 20)
    first.start()
    stale = int((tmp_path / "pids").read_text().split()[0])
    wait_until(lambda: not alive(stale), 20, describe=fleet.logs)
    assert handle.get(timeout=30) == "done by 2\n"


def test_endless_output_is_bounded_while_no_worker_is_there(fleet: Fleet) -> None:
    """The supervisor goes on reading, and keeps no more than is kept (P13)."""
    worker = fleet.start()
    handle = fleet.client.run("echo first; yes", max_output_bytes=50_000)
    wait_until(lambda: list(handle.logs()))
    worker.kill()
    [path] = living(worker.home)
    with Session(path, {}) as session:
        pid = session.supervisor_pid
        produced = session.list()[0].offsets[1]
        wait_until(lambda: session.list()[0].offsets[1] > produced + 100_000_000, 30)
        status = Path(f"/proc/{pid}/status").read_text()
    assert int(status.split("VmRSS:")[1].split()[0]) < 40_000  # kB
    assert sum(file.stat().st_size for file in worker.home.rglob("*") if file.is_file()) < 1_000_000
    worker.start()
    fleet.online("w")
    handle.cancel()
    result = handle.result(timeout=20)
    assert result.stdout.startswith(b"first\ny\n")
    assert len(result.stdout) <= 50_000
    assert result.stdout_bytes > 100_000_000


@pytest.mark.parametrize("name", ["w", "second"])
def test_one_worker_runs_for_a_home(fleet: Fleet, name: str) -> None:
    """A second, by whatever name, would take the first one's jobs for its own; it says so instead."""
    worker = fleet.start()
    job = fleet.client.run("sleep 1.5; echo done")
    wait_until(lambda: job.state is State.RUNNING)
    argv = [word.replace("--hostname=w@", f"--hostname={name}@") for word in worker.argv]
    second = subprocess.run(
        argv, env=worker.env, cwd=worker.home, capture_output=True, text=True, timeout=20, check=False
    )
    assert second.returncode == 5
    assert f"w (process {worker.process.pid}) works for {worker.home} already" in second.stderr
    assert "Traceback" not in second.stderr
    assert job.get(timeout=10) == "done\n"
    assert len(job.job().attempts) == 1


def test_a_taken_name_is_refused_to_another_machine(fleet: Fleet, tmp_path: Path) -> None:
    """With the two ways out."""
    worker = fleet.start()
    env = {**worker.env, "RELAYQ_HOME": str(tmp_path / "elsewhere")}
    second = subprocess.run(worker.argv, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False)
    shut_down(tmp_path / "elsewhere")
    assert second.returncode == 5
    assert "relayq worker remove w" in second.stdout + second.stderr
    assert "goodbye" not in second.stderr


def test_a_wrong_password_stops_a_worker_with_a_sentence(fleet: Fleet, tmp_path: Path) -> None:
    """Not a loop of tracebacks."""
    url = fleet.url.replace("redis://:", "redis://:wrong")
    env = {**os.environ, "RELAYQ_HOME": str(tmp_path / "h"), "RELAYQ_BROKER_URL": url}
    argv = ["-m", "celery", "-A", "relayq.tasks", "worker", "--hostname=x@%h"]
    said = subprocess.run(
        [sys.executable, *argv], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False
    )
    assert said.returncode != 0
    assert "refuses the password" in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize("fleet", [3.0], indirect=True)
def test_a_job_does_not_stand_still_while_its_worker_is_being_restarted(fleet: Fleet) -> None:
    """It is kept for the next worker for two minutes, so it need not freeze when its lease would have been over."""
    worker = fleet.start()
    ticks = "i=0; while [ $i -lt 50 ]; do echo $i; i=$((i+1)); sleep 0.1; done"
    job = fleet.client.run(ticks)
    wait_until(lambda: next(job.chunks(), None))
    worker.signal(signal.SIGTERM)
    worker.process.wait(10)

    def states() -> list[tuple[str, int]]:
        with Session(living(worker.home)[0], {}) as session:
            return [(state.state, state.offsets[1]) for state in session.list()]

    # Without that it would have stopped after 2.4 s, at tick 24 of 50.
    wait_until(lambda: states()[0][1] >= len("".join(f"{n}\n" for n in range(45))), 15, states)
    worker.start()
    assert job.get(timeout=20) == "".join(f"{n}\n" for n in range(50))
    assert len(job.job().attempts) == 1


def test_a_worker_that_is_killed_is_started_again_by_its_minder(fleet: Fleet) -> None:
    """Without a service manager somebody has to; its job does not notice."""
    worker = fleet.start()
    worker.end()
    worker.argv = [sys.executable, "-m", "relayq", "worker", "--restart", "--name", "w", "--slots", "2"]
    worker.start()
    fleet.online("w")
    job = fleet.client.run("echo begun; sleep 3; echo done")
    wait_until(lambda: next(job.chunks(), None))  # claimed is not yet started
    first = fleet.client.worker_status()["workers"]["w"]["pid"]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: fleet.client.worker_status()["workers"]["w"]["pid"] != first, 20, fleet.logs)
    assert job.get(timeout=20) == "begun\ndone\n"
    assert len(job.job().attempts) == 1
    second = fleet.client.worker_status()["workers"]["w"]["pid"]
    worker.signal(signal.SIGTERM)
    assert worker.process.wait(10) == 0
    assert not Path(f"/proc/{second}").exists()


def test_a_conversion_goes_on_when_its_worker_is_restarted(fleet: Fleet, tmp_path: Path) -> None:
    """The next worker has its progress again, and its value."""
    clip = film(tmp_path / "clip.mp4", 3)
    worker = fleet.start("w")
    handle = fleet.client.transcode(str(clip), str(tmp_path / "out.mp4"), "-vf scale=1280:-2 -c:v libx264")
    wait_until(lambda: handle.info.get("progress"), 30, handle.job)
    worker.kill()
    worker.start()
    value = handle.get(timeout=100)
    assert value["output_bytes"] == (tmp_path / "out.mp4").stat().st_size
    assert len(handle.job().attempts) == 1
