"""What the doctor says of this machine's worker and its service."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import relayq
from relayq.doctor import service, worker
from relayq.doctor.findings import Finding
from relayq.model import Pause, Quarantine
from relayq.service.model import Status
from relayq.store.health import Ears
from relayq.supervisor.client import Session
from relayq.supervisor.launch import ensure
from relayq.worker.ending import shut_down
from tests.unit.doctor import NOW, RUNS, Machine, levels, machine_at, worker_state


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return machine_at(tmp_path, monkeypatch)


def test_a_machine_on_which_no_worker_ever_ran_needs_none(machine: Machine) -> None:
    """Those that only submit."""
    assert machine.one(worker.worker) == Finding("worker", "ok", "none runs here")
    for check in (worker.ring, worker.supervisor, service.service):
        assert machine.ask(check) == []


def test_this_machines_worker_is_known_by_its_identity(machine: Machine) -> None:
    """Another machine's worker of any name is not ours."""
    machine.is_worker()
    machine.workers = [worker_state(name="other", identity="other"), worker_state(running=1)]
    assert machine.one(worker.worker).sentence == "w is online, 1 of 2 slots in use"
    machine.workers = [worker_state(name="w", identity="other")]
    assert machine.one(worker.worker).level == "warning"


def test_a_worker_that_is_away_is_a_problem_with_the_way_to_start_it(machine: Machine) -> None:
    """By its service if it is one, else by hand."""
    machine.is_worker()
    machine.workers = [worker_state(online=False, seen_at=NOW - 3600)]
    finding = machine.one(worker.worker)
    assert (finding.level, finding.mend) == ("problem", "relayq worker")
    assert "is offline since" in finding.sentence
    machine.services["worker"] = RUNS
    assert machine.one(worker.worker).mend == "relayq service restart worker"


def test_a_worker_that_takes_nothing_new_says_why(machine: Machine) -> None:
    """Quarantined is a problem, paused may be forgotten, holding back is what it was told to do."""
    machine.is_worker()
    machine.workers = [worker_state(quarantined=Quarantine(since=NOW, why="disk full"))]
    assert machine.one(worker.worker).level == "problem"
    assert "disk full" in machine.one(worker.worker).sentence
    machine.workers = [worker_state(paused=Pause(since=NOW))]
    assert (machine.one(worker.worker).level, machine.one(worker.worker).mend) == ("warning", "relayq resume w")
    machine.workers = [worker_state(held_back="others use 90 %")]
    assert machine.one(worker.worker).level == "ok"


def test_a_ring_that_is_not_heard_is_a_problem(machine: Machine) -> None:
    """Celery's consumer has gone deaf, or hears another Redis."""
    machine.is_worker()
    assert machine.one(worker.ring).sentence == "w heard one within 2 ms"
    machine.ears = Ears(waiting=3, heard_after=None)
    machine.services["worker"] = RUNS
    finding = machine.one(worker.ring)
    assert (finding.level, finding.mend) == ("problem", "relayq service restart worker")
    assert "3 more" in finding.sentence


def test_a_busy_worker_is_not_asked_whether_it_hears(machine: Machine) -> None:
    """While all slots are taken Celery does not listen, on purpose."""
    machine.is_worker()
    machine.ears = Ears(waiting=0, heard_after=None)
    machine.workers = [worker_state(running=2)]
    assert machine.one(worker.ring).level == "ok"


def test_a_worker_that_has_become_busy_meanwhile_is_not_called_deaf(machine: Machine) -> None:
    """The store is asked again before that is said."""
    machine.is_worker()
    machine.ears = Ears(waiting=0, heard_after=None)
    context = machine.context()
    assert context.worker is not None
    machine.workers = [worker_state(running=2)]
    assert levels(worker.ring(context)) == ["ok"]


def test_a_living_supervisor_is_seen(machine: Machine) -> None:
    """A real one; it is asked, and not started."""
    machine.is_worker()
    assert machine.one(worker.supervisor).level == "warning"
    try:
        with Session(ensure(machine.home), {}) as session:
            assert machine.one(worker.supervisor).sentence == f"process {session.supervisor_pid} keeps 0 jobs"
    finally:
        shut_down(machine.home)


@pytest.mark.parametrize("deep", ["", "d" * 120], ids=["near", "far"])
def test_a_supervisor_in_a_folder_of_somebody_else_is_a_problem(machine: Machine, deep: str) -> None:
    """Others could put a socket or a table of theirs there, wherever the socket is."""
    machine.home = machine.home / deep
    machine.home.mkdir(exist_ok=True)
    machine.settings = replace(machine.settings, home=machine.home)
    machine.is_worker()
    folder = machine.home / "supervisor" / relayq.__version__
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    finding = machine.one(worker.supervisor)
    assert finding.level == "problem"
    assert "can be written by others" in finding.sentence


def test_machines_of_another_version_are_named(machine: Machine) -> None:
    """Against what the broker's machine serves, if it says; against this one else."""
    machine.is_worker()
    machine.workers = [worker_state(version=relayq.__version__)]
    assert machine.one(worker.versions).sentence == f"{relayq.__version__} everywhere"
    machine.workers += [worker_state(name="pi", identity="pi", version="1.9"), worker_state(name="gone", online=False)]
    assert "pi runs relayq 1.9" in machine.one(worker.versions).sentence
    machine.settings = replace(machine.settings, server_url="http://vm:7117")
    machine.serves = "9.9"
    first, *_ = machine.ask(worker.versions)
    assert (first.level, first.mend) == ("warning", "relayq upgrade")
    assert "serves 9.9" in first.sentence


def test_a_worker_that_was_not_restarted_after_an_upgrade_is_told(machine: Machine) -> None:
    """It still runs what was installed before."""
    machine.is_worker()
    machine.services["worker"] = RUNS
    machine.workers = [worker_state(version="1.9")]
    finding = machine.one(worker.versions)
    assert (finding.level, finding.mend) == ("warning", "relayq service restart worker")


@pytest.mark.parametrize(
    ("status", "expected", "mend"),
    [
        (RUNS, ["ok"], None),
        (
            replace(RUNS, running=False, detail="it ended with exit code 1"),
            ["problem"],
            "relayq service restart worker",
        ),
        (replace(RUNS, enabled=False), ["problem"], "relayq service install worker"),
        (replace(RUNS, running=False, enabled=False), ["problem", "problem"], "relayq service restart worker"),
        (replace(RUNS, restarts=7), ["warning"], "relayq service logs worker"),
        (Status(installed=False), ["warning"], "relayq service install worker"),
    ],
)
def test_a_service_runs_and_starts_at_boot(
    machine: Machine, status: Status, expected: list[str], mend: str | None
) -> None:
    """Else the first power cut ends this machine's work."""
    machine.is_worker()
    machine.services["worker"] = status
    found = machine.ask(service.service)
    assert (levels(found), found[0].mend) == (expected, mend)


def test_why_a_service_does_not_start_at_boot_is_said(machine: Machine) -> None:
    """A user's services start at boot only if the user lingers."""
    machine.services["worker"] = replace(RUNS, enabled=False, detail="running; at boot only after: enable-linger pi")
    assert "enable-linger pi" in machine.one(service.service).sentence


def test_the_server_is_a_service_too(machine: Machine) -> None:
    """And is mended by its own command; installing it anew needs more than these settings."""
    machine.services["server"] = replace(RUNS, enabled=False)
    finding = machine.one(service.service)
    assert (finding.mend, finding.fix) == ("relayq service install server", None)


def test_where_nothing_starts_services_this_is_said(machine: Machine) -> None:
    """A container, or a Linux without systemd; what `relayq up` started needs none."""
    machine.is_worker()
    assert "neither systemd nor launchd" in machine.one(service.service).sentence
    machine.settings = replace(machine.settings, sources={"broker_url": "the broker started by `relayq up` (x)"})
    assert machine.one(service.service).level == "ok"
