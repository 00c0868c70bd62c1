"""The store in a file, and back in a broker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from relayq.client import Client
from relayq.config import Settings
from relayq.errors import SetupError
from relayq.model import Chunk, State
from relayq.setup import backup
from relayq.store.redis import RedisStore
from tests.conftest import as_admin, serve_redis, wait_until
from tests.unit.following import Hand

from .test_joining import Hub, hub, usable

__all__ = ["hub"]


@pytest.fixture
def other(tmp_path: Path) -> Iterator[str]:
    """Another broker."""
    (tmp_path / "other").mkdir()
    with serve_redis(tmp_path / "other") as url:
        yield url


def test_jobs_and_output_come_back_in_another_broker(redis_url: str, other: str, tmp_path: Path) -> None:
    """With what was there before gone, and places in line kept."""
    with closing(RedisStore(redis_url)) as store:
        hand = Hand(lambda: store, redis_url)
        client = hand.client()
        done = client.run("echo one")
        hand.finish(done.id, b"one\n")
        waiting = client.map(["true"] * 5, on="w")
        backup.save(as_admin(redis_url), tmp_path / "file")
        client.run("later")
    with closing(RedisStore(other)) as store:
        before = Client(Settings(home=tmp_path, broker_url=other), store).run("x", queue_anyway=True)
        assert backup.restore(as_admin(other), tmp_path / "file") > 10
        restored = Client(Settings(home=tmp_path, broker_url=other), store)
        assert restored.get(done.id).get(timeout=5) == "one\n"
        assert [job.id for job in reversed(store.page(limit=10))] == [done.id, *(handle.id for handle in waiting)]
        assert store.find(before.id) == []
        assert isinstance(store.output(done.id).chunks[0], Chunk)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_a_backup_is_of_one_moment_while_everything_goes_on(redis_url: str, other: str, tmp_path: Path) -> None:
    """Every job in it is whole: in its record, in its state's list and in its line."""
    with closing(RedisStore(redis_url)) as store:
        client = Client(Settings(home=tmp_path, broker_url=redis_url), store)
        over = threading.Event()

        def submit() -> None:
            while not over.is_set():
                client.map(["true"] * 20, queue_anyway=True)

        thread = threading.Thread(target=submit)
        thread.start()
        try:
            wait_until(lambda: store.counts()[State.QUEUED])
            backup.save(as_admin(redis_url), tmp_path / "file")
        finally:
            over.set()
            thread.join()
    backup.restore(as_admin(other), tmp_path / "file")
    with redis.Redis.from_url(as_admin(other)) as there:
        ids = there.zrange("relayq:ids", 0, -1)
        assert ids
        assert sorted(there.zrange("relayq:state:queued", 0, -1)) == sorted(ids)
        assert sorted(there.zrange("relayq:lane:any", 0, -1)) == sorted(ids)
        assert all(there.exists(b"relayq:job:" + id) for id in ids)


def test_machines_may_come_back_with_the_passwords_they_have(hub: Hub, tmp_path: Path) -> None:
    """A broker that is set up anew and restored needs no machine to join again."""
    joined = hub.join(hub.token())
    hub.relayq("backup", str(tmp_path / "file"))
    hub.relayq("worker", "remove", "rpi")
    assert not usable(joined.broker_url)
    hub.relayq("restore", str(tmp_path / "file"))
    assert usable(joined.broker_url)


def test_restoring_over_jobs_has_to_be_meant(hub: Hub, tmp_path: Path) -> None:
    """They would be gone."""
    hub.relayq("backup", str(tmp_path / "file"))
    hub.relayq("submit", "--queue-anyway", code=2)
    with closing(RedisStore(hub.url)) as store:
        Client(Settings(home=tmp_path, broker_url=hub.url), store).run("true", queue_anyway=True)
    assert "holds 1 jobs" in hub.relayq("restore", str(tmp_path / "file"), code=5)
    assert hub.relayq("restore", str(tmp_path / "file"), "--yes")["file"]


@pytest.mark.parametrize("content", [b"", b"something else\n", b"relayq backup 1\n", b"relayq backup 1\n{}\nxyz"])
def test_what_is_no_backup_changes_nothing(redis_url: str, tmp_path: Path, content: bytes) -> None:
    """Looked at before anything is replaced."""
    (tmp_path / "file").write_bytes(content)
    with closing(RedisStore(redis_url)) as store:
        kept = Client(Settings(home=tmp_path, broker_url=redis_url), store).run("true", queue_anyway=True)
        with pytest.raises(SetupError, match=r"no backup|damaged"):
            backup.restore(as_admin(redis_url), tmp_path / "file")
        assert store.find(kept.id) == [kept.id]


def test_a_cut_off_backup_is_damaged(redis_url: str, tmp_path: Path) -> None:
    """And is never there under its name unless it is whole."""
    with closing(RedisStore(redis_url)) as store:
        Client(Settings(home=tmp_path, broker_url=redis_url), store).map(["true"] * 100, queue_anyway=True)
    backup.save(as_admin(redis_url), tmp_path / "file")
    content = (tmp_path / "file").read_bytes()
    (tmp_path / "file").write_bytes(content[:-20])
    with pytest.raises(SetupError, match="damaged"):
        backup.restore(as_admin(redis_url), tmp_path / "file")
    with pytest.raises(SetupError, match="cannot be written"):
        backup.save(as_admin(redis_url), tmp_path / "no" / "folder")
