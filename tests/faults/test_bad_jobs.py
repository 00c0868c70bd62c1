"""A job that takes its machine, or its supervisor, with it (item 6; P11)."""

from __future__ import annotations

import time

from relayq.model import Reason, State
from tests.conftest import wait_until

from .fleet import Fleet
from .records import expected_output


def test_a_job_that_is_lost_with_every_machine_is_poison(fleet: Fleet) -> None:
    """After `max_losses` it is not given to a fourth."""
    nodes = [fleet.start(name, slots=1) for name in ("a", "b", "c")]
    handle = fleet.run(60, prefer=["a"])
    for n in (1, 2, 3):
        fleet.running(handle, attempt=n, timeout=40)
        owner = handle.job().worker
        assert owner is not None
        fleet.nodes[owner].lose_power()
    fleet.restart(nodes[0])
    fleet.restart(nodes[1])
    result = handle.result(timeout=40)
    assert (result.state, result.reason, len(result.attempts)) == (State.FAILED, Reason.POISON, 3)
    assert fleet.run(0.2).result(timeout=10).state is State.SUCCEEDED, "the machines work on"


def test_a_killed_supervisor_costs_an_attempt_and_no_job(fleet: Fleet) -> None:
    """Its jobs died with it and are given back at once as lost; the worker stays."""
    a = fleet.start("a")
    handles = [fleet.run(2), fleet.run(2)]
    for handle in handles:
        fleet.running(handle)
    killed = time.monotonic()
    a.kill("supervisor")
    for handle in handles:
        fleet.running(handle, attempt=2)
    assert time.monotonic() - killed < 5
    for handle in handles:
        result = handle.result(timeout=20)
        assert result.stdout.decode() == expected_output(2)
        assert [x.outcome and x.outcome.reason for x in result.attempts] == [Reason.KILLED, Reason.EXITED]


def test_a_supervisor_killed_with_its_keeper_leaves_no_process(fleet: Fleet) -> None:
    """Nobody was left to see it die: the next supervisor ends what it left."""
    a = fleet.start("a")
    handle = fleet.run(3)
    fleet.running(handle)
    a.kill("keeper")
    if a.of_role("supervisor"):
        a.kill("supervisor")
    fleet.running(handle, attempt=2)
    assert handle.result(timeout=20).stdout.decode() == expected_output(3)


def test_a_worker_killed_with_its_supervisor_loses_no_job(fleet: Fleet) -> None:
    """The next start gives back what died; nothing waits for a lease."""
    a = fleet.start("a")
    handle = fleet.run(2)
    fleet.running(handle)
    a.kill_worker()
    a.kill("supervisor")
    wait_until(lambda: not a.of_role("job"), 10)
    fleet.restart(a)
    result = handle.result(timeout=20)
    assert (result.state, len(result.attempts)) == (State.SUCCEEDED, 2)


def test_a_job_that_kills_its_supervisor_is_poison(fleet: Fleet) -> None:
    """It does so every time; the jobs beside it are lost no more often than that."""
    fleet.start("a", slots=1)
    handle = fleet.command('kill -9 "$PPID"; sleep 30')
    result = handle.result(timeout=60)
    assert (result.reason, len(result.attempts)) == (Reason.POISON, 3)
    assert fleet.run(0.2).result(timeout=15).state is State.SUCCEEDED
