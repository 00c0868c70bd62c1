"""A job outlives its worker process (issue: item 1; P9, P10)."""

from __future__ import annotations

import signal
import time

import pytest

from relayq.model import Reason, State
from tests.conftest import wait_until

from .fleet import LEASE_FLOOR, Fleet
from .records import expected_output


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_next_worker_adopts_what_runs_and_no_output_is_missing_or_repeated(fleet: Fleet, number: int) -> None:
    """Killed, stopped or upgraded: the process goes on, and its output and exit code are its own."""
    node = fleet.start()
    handle = fleet.run(8, exit_code=7)
    fleet.running(handle)
    wait_until(lambda: list(handle.logs()), 10)
    node.kill_worker(number)
    assert node.of_role("job")
    fleet.restart(node)
    result = handle.result(timeout=30)
    assert (result.state, result.reason, result.exit_code) == (State.FAILED, Reason.EXITED, 7)
    assert result.stdout.decode() == expected_output(8)
    assert len(result.attempts) == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_that_ends_while_no_worker_is_there_keeps_its_real_end(fleet: Fleet, number: int) -> None:
    """The supervisor keeps it, and the next worker says it."""
    seconds = 0.6
    node = fleet.start()
    handle = fleet.run(seconds, exit_code=3)
    fleet.running(handle)
    node.kill_worker(number)
    wait_until(lambda: any(line.what == "end" for line in fleet.records.of(handle.id)), seconds + 5, fleet.logs)
    fleet.restart(node)
    result = handle.result(timeout=20)
    assert (result.exit_code, len(result.attempts)) == (3, 1)
    assert result.stdout.decode() == expected_output(seconds)


def test_a_worker_killed_again_and_again_ends_no_job(fleet: Fleet) -> None:
    """Each worker takes over from the one before, also from one that had just taken over itself."""
    node = fleet.start(slots=4)
    handles = [fleet.run(5, exit_code=n) for n in range(4)]
    for handle in handles:
        fleet.running(handle)
    for _ in range(3):
        node.kill_worker()
        fleet.restart(node)
    for n, handle in enumerate(handles):
        result = handle.result(timeout=30)
        assert (result.exit_code, len(result.attempts)) == (n, 1)
        assert result.stdout.decode() == expected_output(5)


def test_a_job_handed_over_by_term_is_not_frozen_while_it_is_kept_for_its_worker(fleet: Fleet) -> None:
    """P10: the store keeps it for two minutes, so nobody else can have it, so it runs on through a long restart."""
    node = fleet.start()
    handle = fleet.run(4, exit_code=3)
    fleet.running(handle)
    node.kill_worker(signal.SIGTERM)
    wait_until(lambda: any(line.what == "end" for line in fleet.records.of(handle.id)), 12, fleet.logs)
    fleet.restart(node)
    result = handle.result(timeout=20)
    assert (result.exit_code, len(result.attempts)) == (3, 1)
    assert result.stdout.decode() == expected_output(4)


def test_a_worker_restarted_after_its_supervisor_died_adopts_the_attempts_that_count(fleet: Fleet) -> None:
    """The supervisor knows two attempts of each job then: those that died with its predecessor are not to be held.

    Found by chaos: the first was listed in the pulse, so the second was given back while it ran.
    """
    a = fleet.start("a", slots=6)
    handles = [fleet.run(7) for _ in range(6)]
    for handle in handles:
        fleet.running(handle)
    time.sleep(2)  # what is younger is not in the supervisor's table
    a.kill("supervisor")
    for handle in handles:
        fleet.running(handle, attempt=2)
    time.sleep(LEASE_FLOOR)
    a.kill_worker()
    fleet.restart(a)
    for handle in handles:
        result = handle.result(timeout=30)
        assert (result.state, len(result.attempts)) == (State.SUCCEEDED, 2)
        assert result.stdout.decode() == expected_output(7)
