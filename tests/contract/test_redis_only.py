"""What only the real store can get wrong: the broker's refusals, its memory, its keys."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import redis

from relayq.errors import BrokerRefused, BrokerUnavailable, StoreFull
from relayq.model import Bell, Capability, Chunk, JobSpec, Outcome, Reason, WorkerInfo
from relayq.store import NewJob, scripts
from relayq.store.redis import RedisStore
from tests.conftest import free_port

from .conftest import Bench, Clock

DONE = Outcome(reason=Reason.EXITED, exit_code=0, stdout_bytes=6, duration=0.004)


@contextlib.contextmanager
def listener(answer: bytes | None) -> Iterator[int]:
    """A server that accepts, and then says this or nothing at all."""
    server = socket.create_server(("127.0.0.1", 0))
    kept: list[socket.socket] = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                kept.append(connection)
                if answer is not None:
                    connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield server.getsockname()[1]
    # Closing alone would not wake the thread from accept.
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(5)
    for connection in kept:
        connection.close()


def worker(store: RedisStore, slots: int = 1000) -> str:
    info = WorkerInfo(name="w", identity="w", incarnation="i", slots=slots)
    store.register(info, Bell(queue="relayq.ring.q", ring="r", channel="/0.c", nudge="n"))
    store.serve("w", ["any"], all=True)
    return "i"


def test_a_wrong_password_is_refused_with_a_sentence(redis_url: str) -> None:
    """Trying again would not help, so it is another error than one that goes away."""
    with pytest.raises(BrokerRefused, match="refuses the password") as caught:
        RedisStore(redis_url.replace("redis://:", "redis://:wrong")).counts()
    assert "wrong" not in str(caught.value)


def test_no_password_is_refused_too(redis_url: str) -> None:
    """The 1.x habit."""
    host = redis_url.rpartition("@")[2]
    with pytest.raises(BrokerRefused, match="password"):
        RedisStore(f"redis://{host}").counts()


def test_a_broker_that_is_not_there_is_said_at_once() -> None:
    """Refused connections need no patience."""
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable, match="does not answer"):
        RedisStore(f"redis://127.0.0.1:{free_port()}/0").counts()
    assert time.monotonic() - started < 2


def test_a_broker_that_accepts_and_says_nothing_is_given_up_in_time() -> None:
    """A silent host must not hang anybody."""
    with listener(None) as port:
        started = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            RedisStore(f"redis://127.0.0.1:{port}/0", timeout=1.0).counts()
        assert time.monotonic() - started < 4


def test_another_server_on_the_port_is_recognised() -> None:
    """A web server is no Redis."""
    with listener(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port, pytest.raises(BrokerRefused, match="no Redis"):
        RedisStore(f"redis://127.0.0.1:{port}/0").counts()


@pytest.mark.parametrize("url", ["redis://host:port/0", "http://127.0.0.1:1", "nonsense"])
def test_an_address_that_is_none_is_said_to_be_none(url: str) -> None:
    """With an example of one."""
    with pytest.raises(BrokerRefused, match="redis://:PASSWORD@HOST"):
        RedisStore(url).counts()


def test_another_major_schema_is_refused(redis_url: str) -> None:
    """P14: rather nothing than records nobody else can read."""
    store = RedisStore(redis_url)
    store.counts()
    store._redis.set("relayq:schema", "7")
    for call in (store.counts, lambda: store.get(["x"]), lambda: store.submit([])):
        with pytest.raises(BrokerRefused, match="schema 7"):
            call()
    store.close()


def test_a_redis_that_is_too_old_is_refused(
    redis_url: str, admin: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its version and the way out; looked at when the scripts are loaded."""
    monkeypatch.setattr(scripts, "MIN_VERSION", (99, 0))
    store = RedisStore(redis_url)
    admin.script_flush()
    with pytest.raises(BrokerRefused, match=r"runs Redis [0-9.]+; relayq needs"):
        store.counts()
    store.close()


def test_near_its_memory_limit_the_broker_takes_no_new_jobs_but_finishes_fit(
    redis_url: str, admin: redis.Redis
) -> None:
    """P13: what runs must be able to end."""
    store = RedisStore(redis_url)
    inc = worker(store)
    spec = JobSpec(command="true")
    store.submit([NewJob(id="a", spec=spec, lane="any")])
    claim = store.claim("w", inc, "n")
    assert claim is not None
    used = int(store._redis.info("memory")["used_memory"])
    try:
        admin.config_set("maxmemory", str(int(used * 1.1)))
        store.pulse("w", inc, [claim.held])
        with pytest.raises(StoreFull, match="memory limit"):
            store.submit([NewJob(id="b", spec=spec, lane="any")])
        assert store.finish("w", inc, claim.held, DONE, [Chunk(stream=1, offset=0, data=b"hello\n")]).heard
        admin.config_set("maxmemory", "0")
        store.pulse("w", inc)
        store.submit([NewJob(id="b", spec=spec, lane="any")])
    finally:
        admin.config_set("maxmemory", "0")
        store.close()


def test_at_its_memory_limit_the_broker_still_hears_its_workers(redis_url: str, admin: redis.Redis) -> None:
    """P13: without their pulses leases would run out, and nothing would ever make room again."""
    store = RedisStore(redis_url)
    inc = worker(store)
    spec = JobSpec(command="true")
    store.submit([NewJob(id=id, spec=spec, lane="any") for id in "abc"])
    held = [claim.held for n in "xyz" if (claim := store.claim("w", inc, n))]
    chunk = Chunk(stream=1, offset=0, data=b"hello\n")
    try:
        admin.config_set("maxmemory", str(int(store._redis.info("memory")["used_memory"]) - 1000))
        with pytest.raises(StoreFull):
            store.submit([NewJob(id="d", spec=spec, lane="any")])
        store.append(held[0], [chunk])
        assert store.finish("w", inc, held[0], DONE, [chunk]).heard
        assert store.cancel("c").cancel_requested_at
        assert store.pulse("w", inc, held[1:]).cancelled == ("c",)
        with pytest.raises(StoreFull):
            store.submit([NewJob(id="d", spec=spec, lane="any")])
        assert worker(store)
        store.announce("w", inc, [])
        store.watch("me", ["b"])
        store.leave("w", inc)
    finally:
        admin.config_set("maxmemory", "0")
        store.close()


def test_every_key_of_a_finished_job_expires_and_its_record_is_small(redis_url: str, admin: redis.Redis) -> None:
    """At most a kilobyte each, output apart; the broker started by relayq keeps hashes compact."""
    store = RedisStore(redis_url)
    admin.config_set("hash-max-listpack-value", "2048")
    inc = worker(store)
    spec = JobSpec(command="gzip -9 /var/log/some/ordinary/file.log", timeout=60.0, needs=())

    def run(prefix: str, count: int) -> None:
        for start in range(0, count, 500):
            store.submit([NewJob(id=f"{prefix}{i:011}", spec=spec, lane="any") for i in range(start, start + 500)])
        nonce, claim = 0, store.claim("w", inc, "n")
        while claim is not None:
            nonce += 1
            claim = store.finish("w", inc, claim.held, DONE, next_nonce=f"{prefix}{nonce}").next

    def used() -> int:
        # The event stream has a bound of its own, which this many jobs do not reach.
        return int(store._redis.info("memory")["used_memory"]) - admin.memory_usage("relayq:events", samples=0)

    run("a", 500)
    before = used()
    run("b", 2000)
    each = (used() - before) / 2000
    assert each <= 1024, each
    jobs = [key for key in store._redis.scan_iter("relayq:*", count=1000) if b":job:" in key or b":out:" in key]
    assert len(jobs) == 2500
    assert all(store._redis.ttl(key) > 0 for key in jobs[:200])
    kept = {key.decode().removeprefix("relayq:") for key in store._redis.scan_iter("relayq:*") if b":job:" not in key}
    assert kept <= {
        "schema", "place", "ids", "lately", "state:succeeded", "ran:w", "lanes", "lanes:version", "servers:any",
        "serves:w", "workers", "worker:w", "events", "epoch",
    }  # fmt: skip
    store.close()


def test_expired_jobs_leave_the_indexes(redis_url: str, admin: redis.Redis) -> None:
    """Swept by the pulses, a few at a time."""
    now = [1_800_000_000.0]
    store = RedisStore(redis_url, keep=100.0, clock=lambda: now[0])
    inc = worker(store)
    store.submit([NewJob(id=f"j{i}", spec=JobSpec(command="true"), lane="any") for i in range(120)])
    claim = store.claim("w", inc, "n")
    while claim is not None:
        chunk = Chunk(stream=1, offset=0, data=b"x")
        claim = store.finish("w", inc, claim.held, DONE, [chunk], next_nonce=claim.job.id).next
    # Redis expires keys by its own clock: do what it will do in a week.
    admin.delete(*admin.keys("relayq:job:*"), *admin.keys("relayq:out:*"))
    now[0] += 101
    for _ in range(4):
        store.pulse("w", inc)
    for index in ("ids", "state:succeeded", "ran:w", "outputs"):
        assert store._redis.zcard(f"relayq:{index}") == 0
    assert int(store._redis.get("relayq:output_bytes")) == 0
    store.close()


def test_a_claim_says_how_long_after_its_ring_it_came(redis_url: str, admin: redis.Redis) -> None:
    """The server measures rings by it; a ring that was in vain is forgotten."""
    clock = Clock()
    bench = Bench(RedisStore(redis_url, clock=clock), clock)
    inc = bench.worker()
    bench.submit("a")
    clock.now += 0.25
    assert bench.claim("w", inc)
    assert bench.claim("w", inc) is None
    bench.submit("b")
    clock.now += 1
    other = bench.worker("x", slots=1)
    assert bench.claim("x", other)
    assert bench.claim("w", inc) is None
    clock.now += 3
    admin.delete("relayq.ring.w")  # heard
    bench.submit("c")
    clock.now += 0.5
    assert bench.claim("w", inc)
    _, events = bench.store.events("0", 1.0)
    claims = [(event.job, event.rung_for) for event in events if event.state == "running" and not event.lost]
    assert claims == [("a", 0.25), ("b", 0.0), ("c", 0.5)]
    bench.store.close()


def test_a_worker_of_the_last_release_is_read(redis_url: str) -> None:
    """Its record has no findings; one of a newer release may have more than we know."""
    store = RedisStore(redis_url)
    info = WorkerInfo(name="w", identity="w", incarnation="i", slots=1, capabilities=("ffmpeg",))
    store.register(info, Bell(queue="relayq.ring.w", ring="r", channel="/0.c", nudge="n"))
    record = json.loads(store._redis.hget("relayq:workers", "w"))
    del record["found"], record["facts"]
    store._redis.hset("relayq:workers", "w", json.dumps(record))
    assert store.workers()[1][0].info == info
    newer = {**record, "found": [{"name": "x", "works": True, "colour": "red"}], "smell": 1}
    store._redis.hset("relayq:workers", "w", json.dumps(newer))
    assert store.workers()[1][0].info.found == (Capability(name="x"),)
    store.close()
