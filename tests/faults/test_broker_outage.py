"""A broker that is away, or silent, ends no job: what happens meanwhile is said later (item 4; P5)."""

from __future__ import annotations

import os
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from relayq import JobHandle
from relayq.errors import BrokerUnavailable, ResultTimeout
from relayq.model import State
from tests.conftest import wait_until

from .fleet import Fleet
from .records import expected_output

BACK_AFTER_RESTART = 5.0  #: seconds until workers are at work again
BACK_AFTER_SILENCE = 10.0

BY_HAND = pytest.mark.skipif("RELAYQ_LONG" not in os.environ, reason="by hand: takes minutes, set RELAYQ_LONG=1")
#: How long things last. With the tests' lease floor 8 s are four terms, as a minute is with the usual one.
SPANS = [
    1,
    8,
    pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(240), BY_HAND]),
    pytest.param(600, marks=[pytest.mark.slow, pytest.mark.timeout(900), BY_HAND]),
]


def back_at_work(fleet: Fleet, within: float, *names: str) -> None:
    """New jobs for each worker run soon, counted from now."""
    since = time.monotonic()
    handles = [fleet.command("echo back", on=name, queue_anyway=True) for name in names]
    for handle in handles:
        assert handle.get(timeout=within) == "back\n"
    assert time.monotonic() - since < within


def silence(fleet: Fleet, handle: JobHandle) -> float:
    """The longest time a running job has said nothing, in seconds, until now."""
    said = [line.at for line in fleet.records.of(handle.id)]
    now = float(Path("/proc/uptime").read_text().split()[0])
    return max(later - before for before, later in pairwise([*said, now]))


@pytest.mark.parametrize("seconds", SPANS)
def test_a_broker_killed_and_restarted_ends_no_job(fleet: Fleet, seconds: float) -> None:
    """Its host refuses connections, so nobody can be given the jobs: they run on, and end while it is away too."""
    a, _ = fleet.start("a", slots=3), fleet.start("b")
    ends_meanwhile = fleet.run(min(seconds, 8) / 2 + 0.5, exit_code=3, on="a")
    runs_on = fleet.run(seconds + 4, on="a", every=0.1)
    for handle in (ends_meanwhile, runs_on):
        fleet.running(handle)
    fleet.broker.kill()
    time.sleep(seconds)
    assert a.running
    fleet.broker.start()
    back_at_work(fleet, BACK_AFTER_RESTART, "a", "b")
    assert ends_meanwhile.result(timeout=20).exit_code == 3
    result = runs_on.result(timeout=seconds + 30)
    assert result.stdout.decode() == expected_output(seconds + 4, 0.1)
    assert [len(h.job().attempts) for h in (ends_meanwhile, runs_on)] == [1, 1]


def test_jobs_that_others_may_have_run_on_while_the_broker_is_down(fleet: Fleet) -> None:
    """Refused is not silent: without a broker nobody takes anything, so nothing freezes."""
    fleet.start("a")
    fleet.start("b")
    handle = fleet.run(8)
    fleet.running(handle)
    fleet.broker.stop()
    time.sleep(6)
    assert silence(fleet, handle) < 1
    fleet.broker.start()
    result = handle.result(timeout=30)
    assert (result.state, len(result.attempts)) == (State.SUCCEEDED, 1)
    assert result.stdout.decode() == expected_output(8)


@pytest.mark.parametrize("fleet", [6.0], indirect=True)
def test_a_worker_restarted_while_the_broker_is_down_lets_its_jobs_run_on(fleet: Fleet) -> None:
    """Celery says that it is ready only when it reaches a broker: what runs here is looked after before that."""
    a, _ = fleet.start("a"), fleet.start("b")
    handle = fleet.run(16, prefer=["a"])
    fleet.running(handle)
    fleet.broker.stop()
    a.kill_worker()
    a.start()
    time.sleep(12)  # two terms
    assert silence(fleet, handle) < 1
    fleet.broker.start()
    result = handle.result(timeout=30)
    assert (result.state, [x.worker for x in result.attempts]) == (State.SUCCEEDED, ["a"])
    assert result.stdout.decode() == expected_output(16)


def test_an_end_that_nobody_heard_survives_the_worker(fleet: Fleet) -> None:
    """The broker is away, the job ends, the worker is killed: its successor says how it ended."""
    a = fleet.start("a")
    handle = fleet.run(1.5, exit_code=9)
    fleet.running(handle)
    fleet.broker.kill()
    wait_until(lambda: any(line.what == "end" for line in fleet.records.of(handle.id)), 10, fleet.logs)
    a.kill_worker()
    fleet.broker.start()
    fleet.restart(a)
    result = handle.result(timeout=20)
    assert (result.exit_code, len(result.attempts)) == (9, 1)
    assert result.stdout.decode() == expected_output(1.5)


def test_a_worker_that_starts_before_its_broker_waits_for_it(fleet: Fleet) -> None:
    """After a power cut at home nobody knows which machine is up first."""
    fleet.broker.stop()
    node = fleet.start("a", wait=False)
    time.sleep(4)
    assert node.running, node.tail()
    fleet.broker.start()
    fleet.online("a")
    back_at_work(fleet, BACK_AFTER_RESTART, "a")


@pytest.mark.usefixtures("links_can_be_cut")
@pytest.mark.parametrize("seconds", SPANS)
def test_a_silent_link_at_one_worker_runs_nothing_twice(fleet: Fleet, seconds: float) -> None:
    """Cut off alone: what another could have freezes and is taken if the silence lasts; pinned jobs run on."""
    a, _ = fleet.start("a", slots=3), fleet.start("b")
    pinned = fleet.run(min(seconds, 10) + 2, exit_code=3, on="a")
    young = fleet.run(3, prefer=["a"])
    for handle in (pinned, young):
        fleet.running(handle)
    fleet.cut(a)
    time.sleep(seconds)
    fleet.restore(a)
    back_at_work(fleet, BACK_AFTER_SILENCE, "a", "b")
    result = pinned.result(timeout=40)
    assert (result.exit_code, len(result.attempts)) == (3, 1)
    assert result.stdout.decode() == expected_output(min(seconds, 10) + 2)
    assert young.result(timeout=40).stdout.decode() == expected_output(3)


@pytest.mark.usefixtures("links_can_be_cut")
@pytest.mark.parametrize("seconds", SPANS)
def test_a_silent_link_at_all_workers_runs_nothing_twice(fleet: Fleet, seconds: float) -> None:
    """The VM's own network: nobody was in contact, so nobody takes over from anybody (P6)."""
    nodes = [fleet.start("a"), fleet.start("b")]
    handles = [fleet.run(4, exit_code=n) for n in range(4)]
    for handle in handles:
        fleet.running(handle)
    for node in nodes:
        fleet.cut(node)
    time.sleep(seconds)
    for node in nodes:
        fleet.restore(node)
    back_at_work(fleet, BACK_AFTER_SILENCE + 4, "a", "b")
    for n, handle in enumerate(handles):
        result = handle.result(timeout=40)
        assert (result.exit_code, len(result.attempts)) == (n, 1)
        assert result.stdout.decode() == expected_output(4)


@pytest.mark.usefixtures("links_can_be_cut")
def test_workers_hear_rings_again_within_ten_seconds_of_every_silence(fleet: Fleet) -> None:
    """No worker goes deaf after a reconnect (celery issues 8030, 8091, 10205), whichever direction was cut."""
    a = fleet.start("a")
    for way in ("both", "to", "from"):
        fleet.cut(a, way)
        time.sleep(7)
        fleet.restore(a, way)
        back_at_work(fleet, BACK_AFTER_SILENCE, "a")


@pytest.mark.slow
def test_workers_hear_rings_again_within_five_seconds_of_every_restart(fleet: Fleet) -> None:
    """Killed or stopped, for a moment or for seconds, again and again."""
    fleet.start("a")
    for n in range(6):
        (fleet.broker.kill if n % 2 else fleet.broker.stop)()
        time.sleep(n % 3 * 1.5)
        fleet.broker.start()
        back_at_work(fleet, BACK_AFTER_RESTART, "a")


def test_a_client_that_waits_goes_on_waiting_and_says_so_once(fleet: Fleet, capfd: pytest.CaptureFixture[str]) -> None:
    """One message on stderr, and the result when it comes."""
    fleet.start("a")
    handle = fleet.run(3)
    fleet.running(handle)
    told: list[str] = []
    waiting = threading.Thread(target=lambda: told.append(handle.get(timeout=60)))
    waiting.start()
    fleet.broker.kill()
    time.sleep(5)
    fleet.broker.start()
    waiting.join(30)
    assert told == [expected_output(3)]
    assert capfd.readouterr().err.count("Still waiting") == 1


def test_waiting_for_a_broker_that_is_away_is_bounded_by_the_timeout(fleet: Fleet) -> None:
    """A timeout is a promise to whoever waits."""
    fleet.start("a")
    handle = fleet.run(4)
    fleet.running(handle)
    fleet.broker.kill()
    since = time.monotonic()
    with pytest.raises(ResultTimeout):
        handle.get(timeout=3)
    assert time.monotonic() - since < 4.5
    fleet.broker.start()
    assert handle.get(timeout=30) == expected_output(4)


def test_a_submission_waits_for_the_broker_with_the_same_id(fleet: Fleet) -> None:
    """What is asked for once is run once, whenever the broker comes back."""
    fleet.start("a")
    fleet.broker.kill()
    back = threading.Timer(3, fleet.broker.start)
    back.start()
    handle = fleet.run(0.5, id="asked-once")
    back.join()
    assert handle.get(timeout=20) == expected_output(0.5)
    again = fleet.run(0.5, id="asked-once")
    assert again.get(timeout=5) == expected_output(0.5)
    assert len(again.job().attempts) == 1


def test_a_submission_gives_up_after_its_patience(fleet: Fleet) -> None:
    """And says that the broker does not answer."""
    client = fleet.new_client(submit_patience=2.0)
    fleet.broker.stop()
    since = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        client.run("true")
    assert 1.5 < time.monotonic() - since < 6
    client.store.close()
    fleet.broker.start()
