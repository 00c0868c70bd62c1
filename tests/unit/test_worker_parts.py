"""The worker's small parts: output on its way, hearing, other people's processor."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from relayq import lifecycle
from relayq.errors import BrokerUnavailable
from relayq.model import Bell, Chunk, Held, JobSpec, WorkerInfo
from relayq.store.memory import MemoryStore
from relayq.supervisor.messages import Output
from relayq.worker import awake
from relayq.worker.cpu import CpuWatch
from relayq.worker.hearing import DEAF_AFTER, Hearing
from relayq.worker.holding import Holding
from relayq.worker.offering import Offering
from relayq.worker.output import SEND_BYTES, Unsent, batches
from relayq.worker.readings import ReadingsWatch, hottest, throttles
from tests.conftest import wait_until


def test_output_is_sent_in_batches_that_a_slow_link_can_carry() -> None:
    """A call has a timeout: a megabyte in one call would never get through a slow uplink."""
    data = bytes(range(256)) * 2000
    chunks = [
        Chunk(stream=1, offset=0, data=data),
        Chunk(stream=2, offset=7, data=b"err"),
        Chunk(stream=1, offset=len(data), data=b"end"),
    ]
    parts = list(batches(chunks))
    assert len(parts) == 4
    assert all(sum(len(c.data) for c in part) <= SEND_BYTES for part in parts)
    for stream, whole in ((1, data + b"end"), (2, b"err")):
        mine = [c for part in parts for c in part if c.stream == stream]
        assert b"".join(c.data for c in mine) == whole
        assert all(b.offset == a.offset + len(a.data) for a, b in pairwise(mine))
    assert list(batches([])) == []


def test_a_batch_that_was_not_heard_is_sent_again() -> None:
    """In order, without a gap; what comes meanwhile waits behind it."""
    unsent, sent, away = Unsent(1 << 20), bytearray(), [True]

    def send(chunks: object) -> None:
        if away[0]:
            raise BrokerUnavailable("away")
        for chunk in chunks:  # type: ignore[attr-defined]
            assert chunk.offset == len(sent)
            sent.extend(chunk.data)

    unsent.add([Output("k", 1, 0, b"a" * (SEND_BYTES + 10))])
    unsent.send_if_due(send)
    assert unsent.due_in()
    unsent.add([Output("k", 1, SEND_BYTES + 10, b"b")])
    away[0] = False
    unsent._due_at = time.monotonic()
    while unsent.due_in() is not None:
        unsent._due_at = time.monotonic()
        unsent.send_if_due(send)
    assert bytes(sent) == b"a" * (SEND_BYTES + 10) + b"b"


def test_what_the_broker_lost_is_sent_again() -> None:
    """Only so much has arrived after all: the supervisor gives the rest once more, and nothing is skipped as known."""
    unsent = Unsent(1 << 20)
    unsent.add([Output("k", 1, 0, b"0123456789")])
    unsent.send_if_due(lambda _: None)
    assert unsent.sent == (10, 0)
    unsent.restart((4, 0))
    assert unsent.sent == (4, 0)
    unsent.add([Output("k", 1, 4, b"456789ab")])
    assert unsent.take() == [Chunk(stream=1, offset=4, data=b"456789ab")]


def test_a_worker_is_deaf_when_rings_wait_while_a_slot_is_free() -> None:
    """Several pulses in a row: one may just have been too early."""
    hearing = Hearing(2)
    assert [hearing.is_deaf(1, 1) for _ in range(DEAF_AFTER)] == [False] * (DEAF_AFTER - 1) + [True]
    for unheard, busy, ring in ((0, 0, False), (3, 2, False), (3, 0, True)):
        hearing = Hearing(2)
        for _ in range(3 * DEAF_AFTER):
            if ring:
                hearing.heard()
            assert not hearing.is_deaf(unheard, busy)


def test_of_two_attempts_at_one_job_the_newer_is_held_and_the_older_ended() -> None:
    """Whichever comes first: a worker may be given the job whose stale process it still has."""
    first, second = (Held(job="J", number=n, nonce=str(n)) for n in (1, 2))
    job = lifecycle.submitted("J", JobSpec(command="true"), "any", now=1.0, place=1.0)
    for order in ((first, second), (second, first)):
        displaced: list[Held] = []
        holding = Holding(displaced.append)
        with holding.of(order[0]):
            holding.add(order[0], job)
            assert (displaced, holding.job("J")) == ([], job)
            with holding.of(order[1]):
                assert (holding.all(), displaced) == ([second], [first])


def test_a_busy_machine_is_left_alone_until_it_is_calm() -> None:
    """With hysteresis: not on and off with every look."""
    watch = CpuWatch(Path("/nonexistent"), 80.0)
    said = []
    for percent in (95, 50, 95, 95, 75, 75, 60, 75, 60, 60):
        watch.note(percent)
        said.append(watch.reason is not None)
    assert said == [False, False, False, True, True, True, True, True, True, False]
    watch.note(90)
    watch.note(91)
    assert watch.reason == "others use 91 % of its processor (more than cpu_threshold, 80 %)"


def test_the_processor_is_really_looked_at(tmp_path: Path) -> None:
    """A look gives a figure between nothing and all of it."""
    watch = CpuWatch(tmp_path, 1.0)
    figures: list[float] = []
    watch.note = figures.append  # type: ignore[method-assign]
    watch.look()
    until = time.monotonic() + 0.2
    while time.monotonic() < until:
        pass
    watch.look()
    assert figures[0] == pytest.approx(50, abs=51)


def test_a_mac_is_kept_awake_while_a_job_runs_and_no_longer(tmp_path: Path) -> None:
    """By calls that end by themselves: a worker that is killed cannot end what it started."""
    said, stand_in = tmp_path / "said", tmp_path / "caffeinate"
    stand_in.write_text(f'#!/bin/sh\necho "$@" >>{said}\n')
    stand_in.chmod(0o755)
    busy = False
    awake_while = awake.Awake(str(stand_in), lambda: busy)
    awake_while.look()
    busy = True
    awake_while.look()
    wait_until(said.exists)
    assert said.read_text() == "-i -t 45\n"  # the call that was made while nothing ran would stand before it
    assert awake.HOLDS > 2 * awake.LOOK_EVERY
    busy = False
    wait_until(lambda: awake_while.look() or not awake_while._started)  # waited for: no zombies


def test_only_macs_are_kept_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the program that comes with them."""
    assert awake.program() is None or sys.platform == "darwin"
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(awake, "_CAFFEINATE", "/bin/sh")
    assert awake.program() == "/bin/sh"


def test_the_processors_own_sensor_is_believed_first() -> None:
    """A disk, or a broken sensor, is not the processor."""
    assert hottest({"nvme": [70.0], "cpu_thermal": [51.5, 48.0]}) == 51.5
    assert hottest({"nvme": [40.0]}) == 40.0
    assert hottest({"cpu_thermal": [0.0], "acpitz": [-273.0, 999.0]}) is None


def test_what_slows_a_pi_down_is_said_in_words() -> None:
    """Only what is so now, not what was."""
    assert throttles(0x50005) == "under-voltage, throttled"
    assert throttles(0x50000) is None


def test_a_reading_is_taken_once(tmp_path: Path) -> None:
    """Pulses between two readings are as small as before."""
    watch = ReadingsWatch(tmp_path)
    assert watch.take() is None
    watch.look()
    read = watch.take()
    assert read is not None
    assert read.memory is not None
    assert 0 < read.memory <= 1
    assert read.disk is not None
    assert 0 <= read.disk <= 1
    assert watch.take() is None


def test_the_pulse_does_not_wait_for_a_worker_that_tells_what_it_offers() -> None:
    """That call may hang as long as its timeout, and leases would run out; the lanes are said with the next pulse."""
    info = WorkerInfo(name="w", identity="w", incarnation="i", slots=1)
    store, told, go = MemoryStore(), threading.Event(), threading.Event()
    store.register(info, Bell(queue="q", ring="r", channel="c", nudge="n"))
    offering = Offering(info)

    class Slow(MemoryStore):
        def describe(self, info: WorkerInfo) -> None:
            told.set()
            assert go.wait(10)

        def serve(self, *_: object, **__: object) -> int:
            return 0

    better = replace(info, capabilities=("ffmpeg",))
    change = threading.Thread(target=offering.change, args=(Slow(), better))
    change.start()
    assert told.wait(10)
    assert not offering.serve(store, ["any"], store.lanes()[0])
    assert offering.info == info
    go.set()
    change.join()
    assert offering.info == better
    assert offering.serve(store, ["any", "needs:ffmpeg", "needs:docker"], store.lanes()[0])
    assert {lane for lane in store.lanes()[1] if lane != "any"} == {"needs:ffmpeg"}
