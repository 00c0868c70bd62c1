"""The watcher's own promises: nothing leaks, nothing is lost by an interruption, nothing is run twice."""

from __future__ import annotations

import gc
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

import pytest

from relayq import following
from relayq.client import Client
from relayq.errors import BrokerUnavailable, ResultTimeout, StoreFull, UnknownJob
from relayq.store.memory import MemoryStore
from tests.conftest import wait_until

from .following import Hand, Threads


class Wire:
    """A store in memory behind a connection that may be down, slow or interrupted."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.down = False
        self.raises: dict[str, BaseException] = {}  #: raised by the next call of that name
        self.hold: dict[str, threading.Event] = {}  #: a call of that name waits for it
        self.called: list[str] = []

    @property
    def submitted_in(self) -> int:
        return self.store.submitted_in

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            self.called.append(name)
            if name in self.hold:
                self.hold[name].wait(20)
            if self.down:
                raise BrokerUnavailable("the broker is away")
            if name in self.raises:
                raise self.raises.pop(name)
            return getattr(self.store, name)(*args, **options)

        return call

    def lose(self, id: str) -> None:
        """As a broker that had not written it down."""
        with self.store._lock:
            del self.store._jobs[id]


@pytest.fixture
def store() -> MemoryStore:
    """The broker."""
    return MemoryStore()


@pytest.fixture
def hand(store: MemoryStore) -> Hand:
    """Its worker."""
    return Hand(lambda: store)


def remembered(client: Client) -> int:
    """How many entries a client's watcher keeps."""
    gc.collect()
    return sum(len(v) for v in vars(client.watcher).values() if hasattr(v, "__len__") and not isinstance(v, str))


def test_discarded_handles_leave_nothing_behind(hand: Hand) -> None:
    """Who submits a million jobs and reads none of their results keeps none of them, ended or not."""
    client = hand.client()
    ids = [handle.id for handle in client.map([f"echo {i}" for i in range(1000)])]
    ids += [client.run(f"echo {i}").id for i in range(1000)]
    for id in ids[::2]:
        hand.finish(id, b"x" * 100)
    with pytest.raises(ResultTimeout):
        client.run("true").get(timeout=0.1)  # reads the news of all the others
    assert remembered(client) == 0


def test_what_is_asked_for_again_after_it_was_discarded_is_read_again(hand: Hand) -> None:
    """Forgetting is not losing."""
    client = hand.client()
    id = client.run("true").id
    hand.finish(id, b"x")
    with pytest.raises(ResultTimeout):
        client.run("true").get(timeout=0)
    assert client.get(id).get(timeout=20) == "x"


def test_a_handle_whose_id_was_submitted_again_still_completes(hand: Hand) -> None:
    """What it knows does not go with the newer handle."""
    client = hand.client()
    first = client.run("true", id="nightly")
    hand.finish("nightly", b"x")
    assert first.get(timeout=20) == "x"
    assert client.run("true", id="nightly").get(timeout=20) == "x"
    gc.collect()
    assert Threads(lambda: list(client.as_completed([first]))).ended() == [[first]]


# ── interruptions ──


def test_ctrl_c_in_one_thread_leaves_the_others_waiting(hand: Hand) -> None:
    """The interrupted thread may have been the one that reads for all."""
    client = hand.client()
    handles = client.map(["true"] * 4)
    main, others = threading.get_ident(), []

    def interrupt() -> None:
        wait_until(lambda: sys._current_frames()[main].f_code is threading.Condition.wait.__code__)
        others.append(Threads(*(h.get for h in handles[1:])))
        wait_until(lambda: len(client.watcher._news._waiters) == 3)  # type: ignore[attr-defined]
        signal.pthread_kill(main, signal.SIGINT)

    interrupting = Threads(interrupt)
    with pytest.raises(KeyboardInterrupt):
        handles[0].get(timeout=20)
    assert interrupting.ended() == [None]
    for handle in handles:
        hand.finish(handle.id, b"x")
    assert others[0].ended() == ["x"] * 3
    assert handles[0].get(timeout=20) == "x"


def test_news_that_were_read_but_not_heard_are_read_again(
    hand: Hand, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C between the broker's answer and its hearing, which needs a second question here."""
    monkeypatch.setattr(following, "RECHECK", 1e9)
    wire = Wire(store)
    client = hand.client(wire)
    mine = client.run("true")
    theirs = client.get(hand.client().run("true").id)
    theirs.expect()
    client.watcher._watched[theirs.id].spec = None  # so that its news comes without the record
    for id in (theirs.id, mine.id):
        hand.finish(id, b"x")
    wire.raises["get"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        mine.get(timeout=20)
    assert Threads(mine.get, theirs.get).ended() == ["x", "x"]


class Interruption:
    """While entered, Ctrl-C arrives at the nth place in the watcher where Python looks for signals."""

    def __init__(self, place: int) -> None:
        self.left = place

    def __enter__(self) -> None:
        self._before = sys.getprofile()
        sys.setprofile(self._look)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self._before)

    def _look(self, frame: FrameType, event: str, _: Any) -> None:
        # Python looks where a function of its own begins and where a call has returned; not around `with lock`.
        files = {frame.f_code.co_filename, frame.f_back.f_code.co_filename if frame.f_back else ""}
        if event in ("call", "c_return") and following.__file__ in files:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt


def test_ctrl_c_at_any_moment_leaves_the_watcher_usable(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the reading thread is interrupted, no news is lost and nobody waits for a reader that has left."""
    monkeypatch.setattr(following, "TURN", 0.05)
    place, interrupted = 0, True
    while interrupted:
        place += 1
        client = hand.client()
        one, two = client.map(["true", "true"])
        both = client.as_completed([two, one])
        hand.finish(one.id, b"1")
        try:
            with Interruption(place):
                one.get(timeout=20)
            interrupted = False
        except KeyboardInterrupt:
            pass
        hand.finish(two.id, b"2")
        answers = Threads(one.get, two.get, lambda both=both: list(both)).ended()
        assert answers == ["1", "2", [one, two]], f"interrupted at place {place}"
    assert place > 20


# ── what is missing ──


def test_a_job_on_its_way_to_the_store_is_not_missing(
    hand: Hand, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread asks for everything while the submission is still under way."""
    monkeypatch.setattr(following, "RECHECK", 0.05)
    wire = Wire(store)
    client = hand.client(wire)
    first = client.run("true")
    wire.hold["submit"] = threading.Event()
    submitting = Threads(lambda: client.run("true").get())
    wait_until(lambda: wire.called.count("submit") == 2)
    waiting = Threads(first.get)
    checks = wire.called.count("watch")
    wait_until(lambda: wire.called.count("watch") > checks + 2)
    wire.hold["submit"].set()
    wait_until(lambda: len(store.page()) == 2)
    for job in store.page():
        hand.finish(job.id, b"x")
    assert submitting.ended() + waiting.ended() == ["x", "x"]


def test_a_lost_submission_is_submitted_once_a_discovery(
    hand: Hand, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two power cuts are two losses; and what has been submitted again is waited for as before."""
    monkeypatch.setattr(following, "RECHECK", 0.05)
    wire = Wire(store)
    handle = hand.client(wire).run("true", needs=["cuda"], queue_anyway=True)
    waiting = Threads(handle.get)
    for cut in (1, 2):
        wire.down = True
        wait_until(lambda: _away(handle))
        wire.lose(handle.id)
        wire.down = False
        wait_until(lambda: store.get([handle.id])[0])
        wait_until(lambda cut=cut: wire.called.count("submit") == cut + 1)
    checks = len(wire.called)
    wait_until(lambda: len(wire.called) > checks + 8)
    assert wire.called.count("submit") == 3
    assert capfd.readouterr().err.count("submitted again") == 2
    handle.cancel()
    [error] = waiting.ended()
    assert "cancelled" in str(error)


def _away(handle: Any) -> bool:
    return bool(handle._client.watcher._away)


def test_a_job_that_may_have_been_kept_and_dropped_is_not_run_again(
    hand: Hand, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A laptop that slept for longer than `keep` lost contact as well, but its job has run."""
    monkeypatch.setattr(following, "RECHECK", 0.05)
    wire = Wire(store)
    handle = hand.client(wire).run("true")
    handle._client.watcher._keep = 0.0
    waiting = Threads(handle.get)
    wire.down = True
    wait_until(lambda: _away(handle))
    wire.lose(handle.id)
    wire.down = False
    assert [type(answer) for answer in waiting.ended()] == [UnknownJob]
    assert wire.called.count("submit") == 1


def test_a_refused_resubmission_is_said_and_tried_again(
    hand: Hand, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A full broker may have room later."""
    monkeypatch.setattr(following, "RECHECK", 0.05)
    wire = Wire(store)
    handle = hand.client(wire).run("true")
    waiting = Threads(handle.get)
    wire.down = True
    wait_until(lambda: _away(handle))
    wire.lose(handle.id)
    wire.raises["submit"] = StoreFull("it is full")
    wire.down = False
    wait_until(lambda: store.get([handle.id])[0])
    hand.finish(handle.id, b"x")
    assert waiting.ended() == ["x"]
    assert "and it is full. Still waiting" in capfd.readouterr().err


def test_a_submission_that_fails_leaves_nothing_to_submit_again(hand: Hand, store: MemoryStore) -> None:
    """It was never accepted, and the one who asked knows."""
    wire = Wire(store)
    client = hand.client(wire)
    wire.raises["submit"] = StoreFull("it is full")
    with pytest.raises(StoreFull):
        client.run("true")
    assert remembered(client) == 0


def test_an_outage_is_said_once_and_ends_no_wait(
    hand: Hand, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also where the output has still to be read, and nothing is left to be watched."""
    wire = Wire(store)
    client = hand.client(wire)
    handle = client.run("true")
    hand.finish(handle.id, b"x\n")
    client.watcher.wait(client.watcher._watched[handle.id].answer, time.monotonic() + 20)
    wire.down = True
    asked = len(wire.called)
    lines = Threads(lambda: list(handle.logs(follow=True)))
    wait_until(lambda: len(wire.called) > asked + 4)  # several times in vain
    wire.down = False
    assert lines.ended() == [["x\n"]]
    assert capfd.readouterr().err.count("Still waiting") == 1


def test_waiting_at_a_full_broker_goes_on_by_asking(
    hand: Hand, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have no room to remember one more inbox."""
    monkeypatch.setattr(following, "RECHECK", 0.05)
    id = hand.client().run("true").id
    wire = Wire(store)
    handle = hand.client(wire).get(id)
    wire.raises["watch"] = StoreFull("it is full")
    waiting = Threads(handle.get)
    wait_until(lambda: "wait" in wire.called)
    hand.finish(id, b"x")
    assert waiting.ended() == ["x"]
