"""What becomes of the jobs of a machine that is lost, and of the machine when it comes back (item 2; P5, P6, P11)."""

from __future__ import annotations

import signal
import time

import pytest

from relayq.model import Reason, State
from tests.conftest import wait_until

from .fleet import LEASE_FLOOR, Fleet
from .records import expected_output, script


def test_its_jobs_go_to_another_machine_as_attempt_2(fleet: Fleet) -> None:
    """Soon, and the record says who had them: a loss is not the job's fault and nobody has to ask for it again."""
    a, _ = fleet.start("a"), fleet.start("b")
    handle = fleet.run(2, prefer=["a"])
    fleet.running(handle)
    assert handle.job().worker == "a"
    lost = time.monotonic()
    a.lose_power()
    fleet.running(handle, attempt=2)
    # 20 s for a lease floor of 15 s, and a little because the tests' machine is busy.
    assert time.monotonic() - lost < 20 / 15 * LEASE_FLOOR + 2
    result = handle.result(timeout=20)
    assert [(x.worker, x.outcome and x.outcome.reason) for x in result.attempts] == [
        ("a", Reason.WORKER_LOST),
        ("b", Reason.EXITED),
    ]
    assert result.stdout.decode() == expected_output(2)


def test_losses_use_up_no_retries(fleet: Fleet) -> None:
    """A job that may be tried once more is, although its machine was lost before."""
    a, _ = fleet.start("a", slots=1), fleet.start("b", slots=1)
    handle = fleet.run(2, exit_code=5, retries=1, retry_delay=0.1, prefer=["a"])
    fleet.running(handle)
    a.lose_power()
    result = handle.result(timeout=40)
    assert (result.exit_code, len(result.attempts)) == (5, 3)
    job = handle.job()
    assert (job.losses, job.failures) == (1, 1)


def test_on_lost_fail_ends_it_and_says_why(fleet: Fleet) -> None:
    """For what must never run twice: it is the user's turn."""
    a, _ = fleet.start("a"), fleet.start("b")
    handle = fleet.run(60, on_lost="fail", prefer=["a"])
    fleet.running(handle)
    a.lose_power()
    result = handle.result(timeout=20)
    assert (result.state, result.reason) == (State.FAILED, Reason.WORKER_LOST)


def test_on_lost_wait_keeps_it_for_its_machine(fleet: Fleet) -> None:
    """No other machine takes it; when its own comes back without its processes, it starts anew."""
    a, _ = fleet.start("a"), fleet.start("b")
    handle = fleet.run(2, on_lost="wait", prefer=["a"])
    fleet.running(handle)
    a.lose_power()
    wait_until(lambda: not fleet.is_online("a"), 10)
    time.sleep(2 * LEASE_FLOOR)
    assert [x.worker for x in handle.job().attempts] == ["a"]
    fleet.restart(a)
    result = handle.result(timeout=20)
    assert result.state is State.SUCCEEDED
    assert len(result.attempts) == 2


def test_a_machine_that_was_off_starts_its_jobs_anew_if_nobody_else_could(fleet: Fleet) -> None:
    """They are given back when it registers, without waiting for their leases."""
    a = fleet.start("a")
    handle = fleet.run(2)
    fleet.running(handle)
    a.lose_power()
    fleet.restart(a)
    result = handle.result(timeout=20)
    assert (result.state, [x.worker for x in result.attempts]) == (State.SUCCEEDED, ["a", "a"])


@pytest.mark.usefixtures("links_can_be_cut")
def test_a_stale_process_is_ended_when_its_machine_comes_back_and_is_not_heard(fleet: Fleet) -> None:
    """It can write neither the record nor the output of the attempt that has the job now."""
    a = fleet.start("a")
    handle = fleet.run(6)
    fleet.running(handle)
    fleet.start("b")
    fleet.cut(a)
    fleet.running(handle, attempt=2)
    assert a.of_role("job"), "it waits, frozen"
    fleet.restore(a)
    wait_until(lambda: not a.of_role("job"), 15, fleet.logs)
    result = handle.result(timeout=30)
    assert [(x.worker, x.outcome and x.outcome.reason) for x in result.attempts] == [
        ("a", Reason.WORKER_LOST),
        ("b", Reason.EXITED),
    ]
    assert result.stdout.decode() == expected_output(6)
    assert not any(line.what == "end" and line.attempt == 1 for line in fleet.records.of(handle.id))


@pytest.mark.parametrize("told", ["nothing", "to stop"])
def test_what_was_frozen_and_superseded_never_goes_on(fleet: Fleet, told: str) -> None:
    """Not by the worker's goodbye, which keeps what it still has; and not to clean up: its successor is at work."""
    a = fleet.start("a")
    handle = fleet.command(f"trap 'say end; exit' TERM; {script(6)}")
    fleet.running(handle)
    fleet.start("b")
    a.signal(signal.SIGSTOP)
    fleet.running(handle, attempt=2)
    if told == "to stop":
        a.meant_to_run = False
        a.signal(signal.SIGTERM)
    a.signal(signal.SIGCONT)
    result = handle.result(timeout=30)
    assert [x.worker for x in result.attempts] == ["a", "b"]
    assert result.stdout.decode() == expected_output(6)
    if told == "to stop":
        fleet.restart(a)
    wait_until(lambda: not a.of_role("job"), 15, fleet.logs)
    [second] = [line.at for line in fleet.records.of(handle.id) if (line.what, line.attempt) == ("start", 2)]
    assert not [line for line in fleet.records.of(handle.id) if line.attempt == 1 and line.at > second]


@pytest.mark.usefixtures("links_can_be_cut")
def test_an_attempt_that_ended_while_its_machine_was_given_up_is_not_recorded(fleet: Fleet) -> None:
    """With freeze=False a process runs on and ends, but another attempt has the job: there is one end."""
    a = fleet.start("a")
    handle = fleet.command(
        'if [ "$RELAYQ_ATTEMPT" = 1 ]; then sleep 3; echo stale; else sleep 12; echo fresh; fi', freeze=False
    )
    wait_until(lambda: handle.state is State.RUNNING)
    fleet.start("b")
    fleet.cut(a)
    wait_until(lambda: len(handle.job().attempts) == 2, 20, fleet.logs)
    wait_until(lambda: not a.of_role("job"), 10)
    fleet.restore(a)
    wait_until(lambda: fleet.is_online("a"), 15, fleet.logs)
    assert handle.get(timeout=30) == "fresh\n"


def test_a_machine_lost_for_a_moment_keeps_its_job_if_nobody_took_it(fleet: Fleet) -> None:
    """An expired lease only offers the job: its owner that renews first still has it."""
    a = fleet.start("a")
    handle = fleet.run(3)
    fleet.running(handle)
    a.freeze()
    wait_until(lambda: handle.job().attempts[-1].offered_at is not None or not fleet.is_online("a"), 15)
    time.sleep(LEASE_FLOOR)
    a.thaw()
    result = handle.result(timeout=30)
    assert (result.state, len(result.attempts)) == (State.SUCCEEDED, 1)
