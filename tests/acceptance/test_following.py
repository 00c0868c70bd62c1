"""Waiting for jobs: every handle, thread and process that waits hears, whatever happens to broker and news."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from relayq import following
from relayq.errors import BrokerRefused, ResultTimeout, UnknownJob
from relayq.store import Store
from relayq.store.memory import MemoryStore
from relayq.store.redis import RedisStore
from tests.conftest import as_admin, free_port, redis_binary, wait_until
from tests.unit.following import Hand, Threads

NEVER = 1e9  #: seconds: the news alone must do


@pytest.fixture(params=["memory", "redis"])
def hand(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hand]:
    """A worker at one store or the other; news must arrive by themselves."""
    monkeypatch.setattr(following, "RECHECK", NEVER)
    if request.param == "memory":
        store = MemoryStore()
        yield Hand(lambda: store)
        return
    url = request.getfixturevalue("redis_url")
    with contextlib.ExitStack() as stack:

        def new_store() -> Store:
            return stack.enter_context(contextlib.closing(RedisStore(url)))

        yield Hand(new_store, url)


def blocked(hand: Hand, readers: int = 1) -> bool:
    """Whether as many clients read their inbox (Redis only)."""
    assert isinstance(hand.store, RedisStore)
    with redis.Redis.from_url(as_admin(hand.store.url)) as admin:
        return sum(c["cmd"] == "xread" for c in admin.client_list()) == readers


# ── one job, many who wait ──


def test_two_handles_of_one_job_both_have_its_result(hand: Hand) -> None:
    """The first to read it must not take it away from the second."""
    client = hand.client()
    first = client.run("true")
    second, third = client.get(first.id), client.get(first.id)
    second.expect()
    hand.finish(first.id, b"hello\n")
    for handle in (first, second, third, first, second):
        assert handle.get(timeout=20) == "hello\n"
        assert handle.result(timeout=20).stdout == b"hello\n"


def test_all_threads_that_wait_for_one_job_have_its_result(hand: Hand) -> None:
    """By one handle or by handles of their own, again and again."""
    client = hand.client()
    shared = client.run("true")
    threads = Threads(
        *(lambda: [shared.get(), shared.get()] for _ in range(5)),
        *(lambda: [client.get(shared.id).get(), shared.get()] for _ in range(5)),
    )
    hand.finish(shared.id, b"x")
    assert threads.ended() == [["x", "x"]] * 10


def test_as_completed_and_get_share_the_news(hand: Hand) -> None:
    """One thread walks through all, others wait for single ones."""
    client = hand.client()
    handles = client.map([f"echo {i}" for i in range(20)])
    threads = Threads(
        lambda: {h.id: h.get() for h in client.as_completed(handles)},
        lambda: {h.id: h.get() for h in client.as_completed(client.get(h.id) for h in handles)},
        *(lambda h=h: h.get() for h in handles),
    )
    for i, handle in reversed(list(enumerate(handles))):
        hand.finish(handle.id, b"%d" % i)
    whole = {h.id: str(i) for i, h in enumerate(handles)}
    assert threads.ended() == [whole, whole, *(str(i) for i in range(20))]


def test_another_process_waits_for_the_same_job(redis_url: str) -> None:
    """Each client has an inbox of its own."""
    with contextlib.closing(RedisStore(redis_url)) as store:
        hand = Hand(lambda: store, redis_url)
        handle = hand.client().run("true")
        code = (
            "import sys; from relayq.client import Client; from relayq.config import Settings\n"
            "print(Client(Settings(broker_url=sys.argv[1])).get(sys.argv[2]).get(timeout=20), end='')"
        )
        threads = Threads(
            handle.get,
            lambda: subprocess.check_output([sys.executable, "-c", code, redis_url, handle.id], timeout=30),
        )
        wait_until(lambda: blocked(hand, 2))
        hand.finish(handle.id, b"both\n")
        assert threads.ended() == ["both\n", b"both\n"]


def test_who_submits_a_known_id_hears_of_its_end(hand: Hand) -> None:
    """The same id is the same job, whose news would go to its first submitter only."""
    first, second = (hand.client().run("true", id="nightly") for _ in range(2))
    hand.finish("nightly", b"once")
    assert Threads(first.get, second.get).ended() == ["once", "once"]


# ── timeouts ──


def test_no_time_is_enough_for_a_job_that_has_ended(hand: Hand) -> None:
    """`timeout=0` asks what is the case, whether or not the news has been read."""
    client = hand.client()
    handles = client.map(["true"] * 4)
    for handle in handles:
        hand.finish(handle.id, b"x")
    assert handles[0].get(timeout=0) == "x"
    assert handles[1].result(timeout=0).stdout == b"x"
    assert hand.client().get(handles[2].id).get(timeout=0) == "x"
    assert list(hand.client().as_completed(handles, timeout=0)) == handles
    assert {h.id for h in client.as_completed(handles, timeout=0)} == {h.id for h in handles}


def test_no_time_is_not_enough_for_a_running_job(hand: Hand) -> None:
    """And it is not waited for, also while another thread waits."""
    handle = hand.client().run("true")
    hand.start(handle.id)
    other = Threads(handle.get)
    started = time.monotonic()
    with pytest.raises(ResultTimeout, match="goes on"):
        handle.get(timeout=0)
    with pytest.raises(ResultTimeout):
        handle.result(timeout=0)
    assert time.monotonic() - started < 2
    hand.finish(handle.id, b"x")
    assert other.ended() == ["x"]


# ── as_completed ──


def test_a_job_given_twice_is_completed_once(hand: Hand) -> None:
    """Else the second would be waited for for ever."""
    client = hand.client()
    handle = client.run("true")
    hand.finish(handle.id)
    assert list(client.as_completed([handle, handle, client.get(handle.id)])) == [handle]


def test_what_has_ended_is_completed_first(hand: Hand) -> None:
    """Its news came before the question."""
    client = hand.client()
    running, done = client.map(["true", "true"])
    hand.finish(done.id)
    done.get(timeout=20)
    completed = client.as_completed([running, done])
    assert next(completed) is done
    hand.finish(running.id)
    assert list(completed) == [running]
    assert list(client.as_completed([running, done])) == [running, done]


def test_as_completed_ends_with_its_timeout_after_what_has_ended(hand: Hand) -> None:
    """What there is comes; then it is said how many have not ended."""
    client = hand.client()
    handles = client.map(["true"] * 3)
    hand.finish(handles[1].id)
    completed = client.as_completed(handles, timeout=0.3)
    assert next(completed) is handles[1]
    with pytest.raises(ResultTimeout, match="2 jobs"):
        next(completed)


def test_who_leaves_as_completed_early_leaves_nothing_behind(hand: Hand) -> None:
    """And the rest can be asked for in any way."""
    client = hand.client()
    handles = client.map(["true"] * 3)
    for i, handle in enumerate(handles):
        hand.finish(handle.id, b"%d" % i)
    for first in client.as_completed(handles):
        assert first is handles[0]
        break
    assert len(client.watcher._arrivals) == 0
    assert [h.get(timeout=20) for h in client.as_completed(handles)] == ["0", "1", "2"]


def test_threads_share_one_as_completed(hand: Hand) -> None:
    """A pool of threads that each take the next: every handle goes to one of them, and all come to an end."""
    client = hand.client()
    handles = client.map(["true"] * 30)
    completed = client.as_completed(handles)
    threads = Threads(*(lambda: [h.get() for h in completed] for _ in range(4)))
    for i, handle in enumerate(handles):
        hand.finish(handle.id, b"%d" % i)
    assert sorted(int(text) for texts in threads.ended() for text in texts) == list(range(30))


# ── what the broker loses ──


@pytest.fixture
def redis_hand(redis_url: str) -> Iterator[Hand]:
    """The worker at Redis only; the store is asked often."""
    with contextlib.ExitStack() as stack:
        yield Hand(lambda: stack.enter_context(contextlib.closing(RedisStore(redis_url))), redis_url)


def test_a_lost_inbox_is_made_up_for_by_asking(redis_hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while other news keeps coming: it says nothing of what was lost."""
    monkeypatch.setattr(following, "RECHECK", 0.3)
    hand = redis_hand
    client = hand.client()
    lost, *others = client.map(["true"] * 200)
    hand.finish(lost.id, b"x")
    assert isinstance(hand.store, RedisStore)
    hand.store._redis.delete(f"relayq:inbox:{client.watcher.inbox}")
    threads = Threads(lost.get)
    for handle in others:
        if threads.answers != [None]:
            break
        hand.finish(handle.id)
        time.sleep(0.05)
    assert threads.answers == ["x"]


def test_a_job_whose_record_is_gone_is_unknown_to_who_waits(
    redis_hand: Hand, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Kept for long enough, or a broker restored without it: there is nothing to wait for, and nothing to run again."""
    monkeypatch.setattr(following, "RECHECK", 0.2)
    hand = redis_hand
    client = hand.client()
    mine = client.run("true")
    waiting = Threads(mine.get, hand.client().get(mine.id).get, lambda: list(client.as_completed([mine])))
    wait_until(lambda: blocked(hand, 2))
    assert isinstance(hand.store, RedisStore)
    hand.store._redis.delete(f"relayq:job:{mine.id}")
    answers = waiting.ended()
    assert [type(answer) for answer in answers[:2]] == [UnknownJob, UnknownJob]
    assert answers[2] == [mine]
    with pytest.raises(UnknownJob):
        mine.get(timeout=0)
    assert hand.store.get([mine.id]) == [None]
    assert capfd.readouterr().err == ""


class Broker:
    """A Redis that writes nothing down and may lose its power."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://:secret@127.0.0.1:{self.port}/0"
        self._config = folder / "redis.conf"
        self._config.write_text(
            f'bind 127.0.0.1\nport {self.port}\nrequirepass secret\nsave ""\ndir "{folder}"\n'
            "user admin on >secret ~* &* +@all\n"
        )
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen([redis_binary(), str(self._config)], stdout=subprocess.DEVNULL)
        with redis.Redis.from_url(self.url) as client:

            def answers() -> bool:
                with contextlib.suppress(redis.ConnectionError):
                    return bool(client.ping())
                return False

            wait_until(answers)

    def lose_power(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker of the test's own."""
    broker = Broker(tmp_path)
    yield broker
    broker.lose_power()


def test_a_submission_lost_with_the_broker_is_submitted_again_by_who_waits(
    broker: Broker, capfd: pytest.CaptureFixture[str]
) -> None:
    """Invariant 4: a power cut takes the last second of submissions, and a client that waits brings them back."""
    with contextlib.ExitStack() as stack:
        hand = Hand(lambda: stack.enter_context(contextlib.closing(RedisStore(broker.url))), broker.url)
        client = hand.client()
        one, *rest = client.map([f"echo {i}" for i in range(3)])
        threads = Threads(one.get, lambda: [h.get() for h in rest], hand.client().get(one.id).get)
        wait_until(lambda: blocked(hand, 2))
        broker.lose_power()
        broker.start()
        store = hand.new_store()
        wait_until(lambda: all(store.get([h.id for h in (one, *rest)])))
        hand.store = store
        hand.join()
        for handle in (one, *rest):
            hand.finish(handle.id, handle.id.encode())
        answers = threads.ended()
        assert answers[:2] == [one.id, [h.id for h in rest]]
        # Who did not submit it cannot tell what it was: it hears, or learns that the job is unknown.
        assert answers[2] == one.id or isinstance(answers[2], UnknownJob)
        said = [line for line in capfd.readouterr().err.splitlines() if "has lost" in line]
        assert said == [f"relayq: the broker has lost job {one.id} and 2 more; submitted again under the same id"]


def test_a_refusal_reaches_every_thread_that_waits(broker: Broker) -> None:
    """A changed password: one of them reads for all, and all must know."""
    with contextlib.ExitStack() as stack:
        hand = Hand(lambda: stack.enter_context(contextlib.closing(RedisStore(broker.url))), broker.url)
        client = hand.client()
        handles = client.map(["true"] * 4)
        threads = Threads(*(h.get for h in handles), lambda: list(client.as_completed(handles)))
        wait_until(lambda: blocked(hand))
        with redis.Redis.from_url(as_admin(broker.url)) as admin:
            admin.config_set("requirepass", "changed")
            admin.client_kill_filter(_type="normal", skipme=True)
        assert [type(answer) for answer in threads.ended()] == [BrokerRefused] * 5
