"""Bad jobs, bad machines, and what a worker does about itself."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from relayq.errors import JobFailed
from relayq.model import Bell, JobSpec, Outcome, Reason, State, WorkerInfo
from relayq.placement import lane_for
from relayq.store import NewJob
from relayq.supervisor.client import Session, SupervisorError
from relayq.supervisor.launch import ensure_version, living
from relayq.supervisor.messages import Order
from relayq.worker.cpu import CpuWatch
from relayq.worker.holding import key_of
from relayq.worker.identity import identity
from tests.conftest import wait_until

from .conftest import Fleet, Worker


def supervisor_pid(worker: Worker) -> int:
    with Session(living(worker.home)[0], {}) as session:
        return session.supervisor_pid


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_job_that_asks_for_nonsense_fails_at_once(fleet: Fleet) -> None:
    """It is the job's fault: no machine could do better."""
    fleet.start(labels="ffmpeg")
    params = {"input": "in.mov", "output": "out.mp4", "options": '-vf "unbalanced'}
    spec = JobSpec(kind="transcode", params=params)  # as by a client that does not look
    [job] = fleet.client.submit([spec])
    with pytest.raises(JobFailed, match=r"could not be started on w.*quotation"):
        job.get(timeout=10)
    assert len(job.job().attempts) == 1


def test_a_machine_that_cannot_prepare_jobs_is_quarantined_until_its_test_goes_well(fleet: Fleet) -> None:
    """Its jobs wait, each says why, and start when the machine is mended; nobody has to do anything else."""
    worker = fleet.start(slots=1)
    (worker.home / "work").write_text("in the way")
    jobs = [fleet.client.run(script=f"echo {n}") for n in range(4)]

    def state() -> str:
        return str(fleet.client.worker_status()["workers"]["w"]["state"])

    wait_until(lambda: state() == "quarantined", 15, fleet.logs)
    assert all(len(job.job().attempts) <= 1 for job in jobs)
    assert "quarantined since" in str(jobs[3].explain())
    wait_until(lambda: "self-test failed" in worker.log.read_text(), 15, fleet.logs)
    assert state() == "quarantined"
    (worker.home / "work").unlink()
    assert [job.get(timeout=20) for job in jobs] == [f"{n}\n" for n in range(4)]
    assert state() == "online"


def test_a_job_goes_on_to_a_machine_that_can(fleet: Fleet) -> None:
    """A full disk here is no reason to wait."""
    bad, _ = fleet.start("bad"), fleet.start("good")
    (bad.home / "work").write_text("in the way")
    jobs = [fleet.client.run(script="echo fine") for _ in range(6)]
    assert {job.get(timeout=20) for job in jobs} == {"fine\n"}
    assert {job.job().worker for job in jobs} == {"good"}
    assert all(job.job().losses == 0 for job in jobs)


def test_a_superseded_process_that_resists_does_not_make_its_slot_spin(fleet: Fleet) -> None:
    """It is told once, and its output goes nowhere."""
    worker = fleet.start(slots=2)
    command = 'trap "" TERM; while :; do echo x; sleep 0.02; done'
    job = fleet.client.run(command, kill_grace=3.0)
    wait_until(lambda: job.job().attempt is not None and next(job.chunks(), None))
    attempt = job.job().attempts[-1]
    from relayq.model import Held

    held = Held(job=job.id, number=attempt.number, nonce=attempt.nonce)
    job.cancel()
    before = processor_seconds(worker.process.pid)
    fleet.client.store.give_back("", "", held, Outcome(reason=Reason.WORKER_STOPPED), lost=False)
    assert job.result(timeout=5).state is State.CANCELLED
    key = key_of(held)

    def running() -> bool:
        with Session(living(worker.home)[0], {}) as session:
            return any(state.key == key and state.state == "running" for state in session.list())

    wait_until(lambda: not running(), 15, fleet.logs)
    assert processor_seconds(worker.process.pid) - before < 1.0


def test_an_idle_worker_gets_over_the_death_of_its_supervisor(fleet: Fleet) -> None:
    """The next job has another, in its first attempt."""
    worker = fleet.start(slots=1)
    fleet.client.run("true").get(timeout=10)
    os.kill(supervisor_pid(worker), signal.SIGKILL)
    job = fleet.client.run("echo again")
    assert job.get(timeout=15) == "again\n"
    assert len(job.job().attempts) == 1


@pytest.mark.parametrize("fleet", [3.0], indirect=True)
def test_a_deaf_worker_replaces_itself_and_its_job_does_not_notice(fleet: Fleet) -> None:
    """Celery's consumer can stop hearing after a reconnect: rings that wait while a slot is free prove it."""
    worker = fleet.start(slots=2)
    running = fleet.client.run("sleep 6; echo survived")
    wait_until(lambda: running.job().state is State.RUNNING)
    from relayq import broker

    app = broker.make_app(fleet.url)
    wait_until(lambda: app.control.cancel_consumer(broker.ring_queue("w"), reply=True, timeout=2.0))
    app.close()
    job = fleet.client.run("echo heard")
    assert job.get(timeout=20) == "heard\n"
    wait_until(lambda: "rings are not heard" in worker.log.read_text(), 20, fleet.logs)
    assert worker.process.poll() is None
    assert running.get(timeout=20) == "survived\n"
    assert len(running.job().attempts) == 1
    fleet.client.run("echo well").get(timeout=10)


def test_a_new_requirement_is_served_within_two_seconds(fleet: Fleet) -> None:
    """Nobody has asked for it before, and the submitter did not ask who could: the workers are told to look."""
    fleet.start(labels="odd")
    started = time.monotonic()
    assert fleet.client.run("echo now", needs=["odd"], queue_anyway=True).get(timeout=10) == "now\n"
    assert time.monotonic() - started < 2.0


def test_after_an_upgrade_the_old_supervisors_jobs_are_adopted(fleet: Fleet) -> None:
    """A new supervisor takes new jobs, the old one empties; neither loses output or exit code."""
    home = fleet.folder / "w"
    home.mkdir()
    store = fleet.client.store
    spec = JobSpec(command="echo before; sleep 3; echo after; exit 3")
    store.submit([NewJob(id="old-job", spec=spec, lane=lane_for(spec), anyway=True)])
    info = WorkerInfo(name="w", identity=identity(home), incarnation="old", slots=2)
    store.register(info, Bell(queue="relayq.ring.q", ring="r", channel="/0.c", nudge="n"))
    store.serve("w", ["any"], all=True)
    claim = store.claim("w", "old", "nonce")
    assert claim is not None
    with Session(ensure_version(home, "1.9.0"), dict(os.environ)) as session:
        session.start(Order(key=key_of(claim.held), argv=["/bin/sh", "-c", str(spec.command)]))
        wait_until(lambda: session.next(timeout=5) is not None)
    fleet.start("w")
    job = fleet.client.get("old-job")
    assert fleet.client.run("echo new").get(timeout=10) == "new\n"
    result = job.result(timeout=20)
    assert (result.stdout, result.exit_code, len(result.attempts)) == (b"before\nafter\n", 3, 1)

    def left() -> list[object]:
        states: list[object] = []
        for path in living(home):
            with contextlib.suppress(SupervisorError), Session(path, {}) as session:
                states += session.list()
        return states

    wait_until(lambda: not left(), 10, left)


def test_a_worker_without_a_supervisor_waits_for_one(fleet: Fleet) -> None:
    """Its home may be in the way for a while: it says so, takes nothing, and goes on when it can."""
    home = fleet.folder / "w"
    home.mkdir()
    (home / "supervisor").write_text("in the way")
    job = fleet.client.run("echo at last")
    worker = fleet.start("w", wait=False)
    wait_until(lambda: "no supervisor" in (worker.log.read_text() if worker.log.exists() else ""), 15, fleet.logs)
    assert job.job().state is State.QUEUED
    (home / "supervisor").unlink()
    assert job.get(timeout=15) == "at last\n"


#: A machine of whose processors others use as much as a file says: this one is busy with other people's work.
OTHERS = """
import os, time, psutil
real, spent, at = psutil.cpu_times, 0.0, time.monotonic()
def cpu_times():
    global spent, at
    now = time.monotonic()
    with open({file!r}) as said:
        spent += (now - at) * os.cpu_count() * float(said.read())
    at = now
    times = real()
    return times._replace(**dict.fromkeys(times._fields, 0.0) | {{"user": spent}})
psutil.cpu_times = cpu_times
"""


@pytest.mark.parametrize("fleet", [3.0], indirect=True)
def test_a_worker_holds_back_while_others_use_the_processor(fleet: Fleet, tmp_path: Path) -> None:
    """Its owner is at the machine; when that is over, what waited runs."""
    share = tmp_path / "share"
    share.write_text("1.0")
    code = tmp_path / "code"
    code.mkdir()
    (code / "sitecustomize.py").write_text(OTHERS.format(file=str(share)))
    settings = {"RELAYQ_CPU_THRESHOLD": "60", "PYTHONPATH": f"{code}:{os.environ.get('PYTHONPATH', '')}"}
    fleet.workers["w"] = Worker("w", fleet.folder / "w", fleet.url, 2, "", fleet.lease_floor, settings)
    fleet.online("w")
    wait_until(lambda: fleet.client.worker_status()["workers"]["w"]["state"] == "holding back", 20, fleet.logs)
    job = fleet.client.run("echo calm")
    assert "takes nothing new: others use" in str(job.explain())
    assert job.state is State.QUEUED
    (tmp_path / "new").write_text("0.0")
    (tmp_path / "new").replace(share)  # at once: it is being read
    assert job.get(timeout=30) == "calm\n"


def test_what_others_use_is_measured(tmp_path: Path) -> None:
    """By the machine's own account, in which a process that is none of ours counts in full."""
    watch = CpuWatch(tmp_path, 50.0)
    figures: list[float] = []
    watch.note = figures.append  # type: ignore[method-assign]
    other = subprocess.Popen(["/bin/sh", "-c", "while :; do :; done"])
    try:
        before = processor_seconds(other.pid)
        began = time.monotonic()
        watch.look()
        wait_until(lambda: processor_seconds(other.pid) - before > 0.5, 30)
        watch.look()
        took = time.monotonic() - began
    finally:
        other.kill()
        other.wait()
    assert figures[0] / 100 * took * (os.cpu_count() or 1) > 0.4  # still others may use more


def test_what_its_own_jobs_use_is_known(fleet: Fleet) -> None:
    """Else a transcoding machine would hold back because it transcodes; processes that have ended count too."""
    worker = fleet.start()
    watch = CpuWatch(worker.home, 50.0)
    burn = "import time; t = time.process_time()\nwhile time.process_time() < t + 1: pass"
    before = watch._own_seconds()
    fleet.client.run([sys.executable, "-c", burn]).get(timeout=20)
    assert watch._own_seconds() - before == pytest.approx(1.1, abs=0.3)
