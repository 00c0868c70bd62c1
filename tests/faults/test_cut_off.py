"""A machine that is cut off knows it: freeze, thaw or end, by the supervisor itself (item 3; P5)."""

from __future__ import annotations

import signal
import time

import pytest

from relayq.model import State
from tests.conftest import wait_until

from .fleet import LEASE_FLOOR, Fleet
from .links import Way
from .machines import since_boot
from .records import expected_output


@pytest.mark.usefixtures("links_can_be_cut")
@pytest.mark.parametrize("way", ["both", "to", "from"])
def test_behind_a_silent_link_a_job_freezes_and_thaws_when_the_link_is_back(fleet: Fleet, way: Way) -> None:
    """Nobody else was there to take it, so it goes on where it was: one attempt, no output missing. One direction
    is enough to be cut off."""
    a = fleet.start("a")
    handle = fleet.run(4)
    fleet.running(handle)
    fleet.cut(a, way)
    said = fleet.silent(handle)
    assert said < len(expected_output(4).splitlines())
    fleet.restore(a, way)
    wait_until(lambda: len(fleet.records.of(handle.id)) > said, 10, fleet.logs)
    result = handle.result(timeout=30)
    assert (result.state, len(result.attempts)) == (State.SUCCEEDED, 1)
    assert result.stdout.decode() == expected_output(4)


@pytest.mark.usefixtures("links_can_be_cut")
def test_a_job_nobody_else_may_have_never_freezes(fleet: Fleet) -> None:
    """Pinned, on_lost="wait" or freeze=False: it runs on through any silence, and its end is said later."""
    a = fleet.start("a", slots=3)
    options = ({"on": "a"}, {"on_lost": "wait"}, {"freeze": False})
    handles = [fleet.run(4, exit_code=n, **option) for n, option in enumerate(options)]
    for handle in handles:
        fleet.running(handle)
    fleet.cut(a)
    for handle in handles:
        wait_until(lambda h=handle: any(x.what == "end" for x in fleet.records.of(h.id)), 15, fleet.logs)
    fleet.restore(a)
    for n, handle in enumerate(handles):
        result = handle.result(timeout=30)
        assert (result.exit_code, len(result.attempts)) == (n, 1)
        assert result.stdout.decode() == expected_output(4)


@pytest.mark.usefixtures("links_can_be_cut")
def test_frozen_time_does_not_count_towards_the_timeout(fleet: Fleet) -> None:
    """The job did nothing wrong."""
    a = fleet.start("a")
    handle = fleet.run(3, timeout=6)
    fleet.running(handle)
    fleet.cut(a)
    fleet.silent(handle)
    time.sleep(6)
    fleet.restore(a)
    assert handle.result(timeout=30).state is State.SUCCEEDED


def test_a_stopped_worker_freezes_its_jobs_and_goes_on_with_them(fleet: Fleet) -> None:
    """Nobody renews, so the supervisor freezes by itself; the worker that goes on thaws."""
    a = fleet.start("a")
    handle = fleet.run(4)
    fleet.running(handle)
    a.signal(signal.SIGSTOP)
    said = fleet.silent(handle)
    assert not any(line.what == "end" for line in fleet.records.of(handle.id))
    a.signal(signal.SIGCONT)
    wait_until(lambda: len(fleet.records.of(handle.id)) > said, 10, fleet.logs)
    result = handle.result(timeout=30)
    assert (result.state, len(result.attempts)) == (State.SUCCEEDED, 1)
    assert result.stdout.decode() == expected_output(4)


def test_the_jobs_of_a_stopped_worker_run_elsewhere_and_end_here_when_it_goes_on(fleet: Fleet) -> None:
    """At no moment do both run."""
    a = fleet.start("a")
    handle = fleet.run(4)
    fleet.running(handle)
    fleet.start("b")
    a.signal(signal.SIGSTOP)
    fleet.running(handle, attempt=2)
    a.signal(signal.SIGCONT)
    wait_until(lambda: not a.of_role("job"), 15, fleet.logs)
    assert [x.worker for x in handle.result(timeout=30).attempts] == ["a", "b"]


def test_the_jobs_of_a_killed_worker_run_elsewhere_and_end_here_when_the_next_starts(fleet: Fleet) -> None:
    """A worker that nobody restarts: its jobs freeze, another machine takes them."""
    a = fleet.start("a")
    handle = fleet.run(4)
    fleet.running(handle)
    fleet.start("b")
    a.kill_worker()
    fleet.running(handle, attempt=2)
    assert a.of_role("job"), "it waits, frozen"
    fleet.restart(a)
    wait_until(lambda: not a.of_role("job"), 15, fleet.logs)
    assert [x.worker for x in handle.result(timeout=30).attempts] == ["a", "b"]


def test_after_sleep_a_job_is_stopped_at_once_if_another_machine_has_it(fleet: Fleet) -> None:
    """A laptop's lid: nothing here ran while the lease did, and deadlines are on a clock that counts sleep.

    On waking, job and supervisor go on at the same moment: what a job does in the next split second is not prevented.
    """
    a = fleet.start("a")
    handle = fleet.run(6)
    fleet.running(handle)
    fleet.start("b")
    a.freeze()
    fleet.running(handle, attempt=2)
    fleet.may_overlap.add(handle.id)
    woken = since_boot()
    a.thaw()
    wait_until(lambda: not a.of_role("job"), 15, fleet.logs)
    assert [x.worker for x in handle.result(timeout=30).attempts] == ["a", "b"]
    late = [line.at - woken for line in fleet.records.of(handle.id) if line.attempt == 1 and line.at > woken]
    assert max(late, default=0) < 0.3


def test_after_a_short_sleep_everything_goes_on(fleet: Fleet) -> None:
    """Shorter than the lease: nobody noticed."""
    fleet.start("a")
    fleet.start("b")
    handle = fleet.run(3)
    fleet.running(handle)
    owner = fleet.nodes[handle.job().worker or "a"]
    owner.freeze()
    time.sleep(LEASE_FLOOR / 4)
    owner.thaw()
    result = handle.result(timeout=30)
    assert (result.state, len(result.attempts)) == (State.SUCCEEDED, 1)


@pytest.mark.usefixtures("links_can_be_cut")
def test_a_claim_whose_answer_comes_late_starts_nothing_twice(fleet: Fleet) -> None:
    """The link holds it up for longer than an attempt may go unlisted, shorter than a slot waits for an answer."""
    a = fleet.start("a", slots=2)
    fleet.run(0.1).get(timeout=10)  # a broker that does not know the finishing script yet asks for it
    # They say nothing, so that the slot has nothing else to wait for; the second is there to claim with.
    held = [fleet.client.run(f"sleep {seconds}", on="a") for seconds in (1, 1.2)]
    wait_until(lambda: all(handle.job().attempts for handle in held), 10, fleet.logs)
    handle = fleet.run(2, on="a")
    fleet.cut(a, "from")
    wait_until(lambda: handle.job().attempts, 10, fleet.logs)
    time.sleep(LEASE_FLOOR)
    fleet.restore(a, "from")
    assert handle.result(timeout=30).state is State.SUCCEEDED
    assert [line.what for line in fleet.records.of(handle.id)].count("start") == 1
