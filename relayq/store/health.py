"""How the Redis at a URL is: facts for `relayq doctor`, from a few harmless questions. Judges nothing."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from relayq.store.trouble import address_checked, translated

SAMPLES = 5  #: round trips measured
_LOOK_EVERY = 0.05


@dataclass(frozen=True, kw_only=True)
class Rights:
    """What our user may do, found by doing it."""

    write: bool  #: keys of relayq
    script: bool
    configure: bool  #: CONFIG: it may change Redis itself
    tokens: bool  #: read the keys of those who administer


@dataclass(frozen=True, kw_only=True)
class Binding:
    """Where Redis was told to listen; only who may configure it is told."""

    addresses: tuple[str, ...]  #: as written: with "-" before those that may be missing, "*" for all
    protected: bool  #: protected-mode


@dataclass(frozen=True, kw_only=True)
class Health:
    """A Redis that answers."""

    round_trip: float  #: seconds, the median
    clock_ahead: float  #: seconds our clock is ahead of its; uncertain by half a round trip
    name: str  #: "redis" or "valkey"
    version: str
    uptime: float  #: seconds
    replica: bool
    append_only: bool
    append_trouble: str | None  #: the last write of the append-only file, or of a snapshot, went wrong
    rewrite_trouble: bool  #: the last rewrite of the append-only file went wrong
    eviction: str  #: maxmemory-policy
    used_bytes: int
    limit_bytes: int  #: maxmemory; 0 for none
    machine_bytes: int  #: memory of its machine; 0 if not known
    needs_password: bool | None  #: None: could not be found out
    refused_write: str | None  #: why it takes no writes at all, in its own words
    rights: Rights
    binding: Binding | None

    @property
    def number(self) -> tuple[int, int]:
        """The version to compare by: (major, minor)."""
        major, minor, *_ = [*self.version.split("."), "0"]
        return int(major), int(minor)


@dataclass(frozen=True, kw_only=True)
class Ears:
    """Whether a worker hears."""

    waiting: int  #: rings that lay in its queue before
    heard_after: float | None  #: seconds until ours was taken; None: it was not


def look(url: str, *, timeout: float = 2.0) -> Health:
    """What the Redis at `url` says of itself. Raises BrokerUnavailable, BrokerRefused."""
    with translated(url), _client(url, timeout) as client:
        client.ping()
        times = [_time(client) for _ in range(SAMPLES)]
        info: dict[str, Any] = client.info()
        refused, rights = _rights(client)
        binding = _binding(client) if rights.configure else None
    return Health(
        round_trip=statistics.median(took for took, _ in times),
        clock_ahead=min(times)[1],  # of the quickest answer, the most exact
        name="valkey" if "valkey_version" in info else "redis",
        version=str(info.get("valkey_version") or info.get("redis_version") or "0.0"),
        uptime=float(info.get("uptime_in_seconds", 0)),
        replica=info.get("role") == "slave",
        append_only=bool(info.get("aof_enabled")),
        append_trouble=_append_trouble(info),
        rewrite_trouble=info.get("aof_last_bgrewrite_status", "ok") != "ok",
        eviction=str(info.get("maxmemory_policy", "")),
        used_bytes=int(info.get("used_memory", 0)),
        limit_bytes=int(info.get("maxmemory", 0)),
        machine_bytes=int(info.get("total_system_memory", 0)),
        needs_password=_needs_password(url, timeout),
        refused_write=refused,
        rights=rights,
        binding=binding,
    )


def binding(url: str, *, timeout: float = 2.0) -> Binding | None:
    """Where Redis was told to listen; None if this user may not ask. Raises BrokerUnavailable, BrokerRefused."""
    with translated(url), _client(url, timeout) as client:
        try:
            return _binding(client)
        except redis.exceptions.NoPermissionError:
            return None


def ears(url: str, worker: str, *, patience: float = 3.0, timeout: float = 2.0) -> Ears | None:
    """Ring that worker once and see whether it hears; None if no such worker is known.

    A ring too many is harmless: the worker looks, and finds nothing. One that is not heard is taken back.
    """
    with translated(url), _client(url, timeout) as client:
        queue, ring = client.hmget(f"relayq:worker:{worker}", "queue", "ring")
        if not (queue and ring):
            return None
        waiting = int(client.llen(queue))
        began = time.monotonic()
        client.lpush(queue, ring)
        while client.llen(queue) > 0:
            if time.monotonic() - began > patience:
                client.lrem(queue, 1, ring)
                return Ears(waiting=waiting, heard_after=None)
            time.sleep(_LOOK_EVERY)
        return Ears(waiting=waiting, heard_after=time.monotonic() - began)


@contextlib.contextmanager
def _client(url: str, timeout: float, *, login: bool = True) -> Iterator[Any]:
    with address_checked(url):
        options = {"socket_timeout": timeout, "socket_connect_timeout": timeout, "protocol": 2}
        pool = redis.ConnectionPool.from_url(url, decode_responses=True, retry=Retry(NoBackoff(), 0), **options)
    if not login:
        for word in ("username", "password"):
            pool.connection_kwargs.pop(word, None)
    try:
        yield redis.Redis(connection_pool=pool)
    finally:
        pool.disconnect()


def _time(client: Any) -> tuple[float, float]:
    """(how long the question took, how far our clock is ahead)"""
    asked, began = time.time(), time.monotonic()
    seconds, micros = client.time()
    took = time.monotonic() - began
    return took, asked + took / 2 - (seconds + micros / 1e6)


def _append_trouble(info: dict[str, Any]) -> str | None:
    if info.get("aof_last_write_status", "ok") != "ok":
        return "the last write to the append-only file failed"
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        return "the last snapshot failed"
    return None


def _rights(client: Any) -> tuple[str | None, Rights]:
    key = f"relayq:doctor:{os.urandom(8).hex()}"
    write, refused = True, None
    try:
        client.set(key, "1", px=5000)
    except redis.exceptions.NoPermissionError:
        write = False
    except redis.exceptions.ResponseError as error:  # full, a disk that cannot be written, a replica
        refused = str(error)
    return refused, Rights(
        write=write,
        script=_may(lambda: client.eval("return 1", 0)),
        configure=_may(lambda: client.config_get("maxmemory")),
        tokens=_may(lambda: client.exists("relayq-admin:tokens")),
    )


def _may(question: Any) -> bool:
    try:
        question()
    except redis.exceptions.NoPermissionError:
        return False
    except redis.exceptions.ResponseError:
        return True  # allowed, and refused for another reason, such as a full memory
    return True


def _binding(client: Any) -> Binding:
    said = client.config_get("bind") | client.config_get("protected-mode")
    addresses = tuple(str(said.get("bind", "")).split())
    return Binding(addresses=addresses or ("*",), protected=said.get("protected-mode") == "yes")


def _needs_password(url: str, timeout: float) -> bool | None:
    """Whether Redis refuses who gives no password."""
    try:
        with _client(url, timeout, login=False) as client:
            client.ping()
    except redis.exceptions.NoPermissionError:
        return False  # it knows us as its default user, though that may not do this
    except (redis.exceptions.AuthenticationError, redis.exceptions.ResponseError):
        return True  # also protected mode, which lets nobody in from outside
    except redis.exceptions.RedisError:
        return None
    return False
