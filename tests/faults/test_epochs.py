"""A broker that restarts, forgets its last second or whose clock jumps takes no job away and starts none twice (P7)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from relayq.model import State
from tests.conftest import wait_until

from .conftest import checked
from .fleet import LEASE_FLOOR, Fleet
from .machines import FAKETIME
from .records import expected_output


@pytest.fixture
def clock(tmp_path: Path) -> Path:
    """A file that says how the broker's clock differs, e.g. "+3600"."""
    if FAKETIME is None:
        pytest.skip("the broker's clock cannot be moved: apt install libfaketime")
    file = tmp_path / "clock"
    file.write_text("+0")
    return file


@pytest.fixture
def jumpy(tmp_path: Path, clock: Path, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """A fleet whose broker takes its time from `clock`."""
    preload = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with Fleet(tmp_path, preload=preload) as fleet:
        yield from checked(fleet, request)


@pytest.mark.parametrize("jump", [3600, -3600])
def test_the_brokers_clock_jumping_an_hour_takes_no_job_away(jumpy: Fleet, clock: Path, jump: int) -> None:
    """Every lease is over at once, or lasts for an hour: neither may be believed."""
    jumpy.start("a")
    jumpy.start("b")
    handles = [jumpy.run(5, exit_code=n) for n in range(4)]
    for handle in handles:
        jumpy.running(handle)
    time.sleep(2 * LEASE_FLOOR / 3)
    clock.write_text(f"{jump:+d}")
    for n, handle in enumerate(handles):
        result = handle.result(timeout=30)
        assert (result.exit_code, len(result.attempts)) == (n, 1)
        assert result.stdout.decode() == expected_output(5)


@pytest.mark.parametrize("jump", [3600, -3600])
def test_a_machine_lost_after_the_clock_jumped_is_noticed_as_soon_as_ever(jumpy: Fleet, clock: Path, jump: int) -> None:
    """No job is an hour older, and no lease lasts an hour, because the clock says so."""
    a = jumpy.start("a")
    handle = jumpy.run(8)
    jumpy.running(handle)
    jumpy.start("b")
    clock.write_text(f"{jump:+d}")
    time.sleep(LEASE_FLOOR)
    a.lose_power()
    jumpy.running(handle, attempt=2, timeout=15)
    assert handle.result(timeout=30).state is State.SUCCEEDED


def test_a_machine_lost_while_the_broker_is_away_is_noticed_when_it_is_back(fleet: Fleet) -> None:
    """A new epoch is no amnesty: who stays silent loses its jobs."""
    a = fleet.start("a")
    handle = fleet.run(3)
    fleet.running(handle)
    fleet.start("b")
    fleet.broker.kill()
    a.lose_power()
    time.sleep(3)
    fleet.broker.start()
    fleet.running(handle, attempt=2, timeout=30)
    assert [x.worker for x in handle.result(timeout=30).attempts] == ["a", "b"]


def test_a_broker_restored_from_a_second_ago_hears_from_its_workers_what_they_run(fleet: Fleet) -> None:
    """What was claimed in that second runs on as the attempt it is; nobody is given it again."""
    fleet.start("a", slots=1)
    fleet.start("b", slots=1)
    fleet.run(0.1).get(timeout=10)
    held = [fleet.run(1.2), fleet.run(1.2)]
    waiting = [fleet.run(4, exit_code=n) for n in (3, 4)]
    for handle in held:
        fleet.running(handle)
    copy = fleet.broker.copy()
    for handle in waiting:  # claimed after the copy, in which they still wait
        fleet.running(handle)
    fleet.broker.kill()
    fleet.broker.put_back(copy)
    fleet.broker.start()
    for handle, code in zip([*held, *waiting], [0, 0, 3, 4], strict=True):
        assert handle.result(timeout=30).exit_code == code
    for handle in waiting:
        assert len(handle.job().attempts) == 1
        assert sum(line.what == "start" for line in fleet.records.of(handle.id)) == 1


def test_a_job_submitted_in_the_second_that_was_forgotten_is_asked_for_again_by_the_client_that_waits(
    fleet: Fleet,
) -> None:
    """With the same id: a power cut of the broker's machine may lose it, but not while somebody waits for it."""
    fleet.start("a", slots=1)
    first = fleet.run(3)
    fleet.running(first)
    copy = fleet.broker.copy()
    handle = fleet.run(0.5)
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(handle.get, 40)
        time.sleep(0.5)
        fleet.broker.kill()
        fleet.broker.put_back(copy)
        fleet.broker.start()
        assert told.result() == expected_output(0.5)
    assert first.result(timeout=10).state is State.SUCCEEDED


def test_a_broker_restored_from_a_second_ago_hears_again_what_ended(fleet: Fleet) -> None:
    """A finished job is not run again because its end was forgotten."""
    fleet.start("a")
    fleet.start("b")
    handles = [fleet.run(2, exit_code=n) for n in range(3)]
    for handle in handles:
        fleet.running(handle)
    time.sleep(1.6)  # longer than an attempt may go without being listed in a pulse
    copy = fleet.broker.copy()
    for n, handle in enumerate(handles):
        assert handle.result(timeout=10).exit_code == n
    fleet.broker.kill()
    fleet.broker.put_back(copy)
    fleet.broker.start()
    fresh = fleet.new_client()
    wait_until(lambda: all(job and job.state.ended for job in fresh.store.get([h.id for h in handles])), 30, fleet.logs)
    for n, job in enumerate(fresh.store.get([h.id for h in handles])):
        assert job is not None
        assert [x.outcome and x.outcome.exit_code for x in job.attempts] == [n]
    fresh.store.close()
