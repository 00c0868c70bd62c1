"""A broker at its memory limit: what it says, as a sentence of ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from relayq.cli.exits import REFUSED, code_for
from relayq.errors import BrokerUnavailable, RelayqError, StoreFull
from relayq.model import Bell, Chunk, JobSpec, WorkerInfo
from relayq.store import NewJob
from relayq.store.redis import RedisStore
from relayq.store.trouble import translated
from tests.conftest import as_admin

WORDS = "command not allowed when used memory > 'maxmemory'"


@pytest.fixture
def full(redis_url: str) -> Iterator[RedisStore]:
    """A store with a worker that holds one job, at the limit of its memory."""
    store = RedisStore(redis_url)
    store.register(
        WorkerInfo(name="w", identity="w", incarnation="i", slots=1),
        Bell(queue="relayq.ring.q", ring="r", channel="/0.c", nudge="n"),
    )
    store.serve("w", ["any"], all=True)
    store.submit([NewJob(id="held", spec=JobSpec(command="true"), lane="any")])
    with redis.Redis.from_url(as_admin(redis_url)) as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] - 100_000)
        yield store
        client.config_set("maxmemory", 0)
    store.close()


def test_a_submission_at_the_limit_is_refused_with_a_sentence(full: RedisStore) -> None:
    """Redis stops the script at its first write; nothing is queued, and nobody should try again for half a minute."""
    with pytest.raises(StoreFull, match=r"reached its memory limit\. Raise its maxmemory") as caught:
        full.submit([NewJob(id="new", spec=JobSpec(command="true"), lane="any")])
    assert code_for(caught.value) == REFUSED
    assert "script" not in str(caught.value)
    assert full.get(["new"]) == [None]


def test_a_worker_at_the_limit_may_ask_again(full: RedisStore) -> None:
    """If the limit stops a worker's call at all, it is for it a broker that is away: it keeps what it has to say."""
    claim = full.claim("w", "i", "n1")
    assert claim is not None
    try:
        full.append(claim.held, [Chunk(stream=1, offset=0, data=b"x" * 1000)])
    except RelayqError as error:
        assert isinstance(error, BrokerUnavailable), error  # noqa: PT017  (it need not be raised)


@pytest.mark.parametrize(
    "text",
    [
        f"OOM {WORDS}.",
        f"{WORDS}. script: c2d1, on @user_script:77.",
        f"Error running script (call to f_c2d1): @user_script:77: @user_script: 77: -OOM {WORDS}. ",
    ],
    ids=["plain", "7.0", "6.2"],
)
def test_every_version_wraps_it_differently(text: str) -> None:
    """What redis-py leaves of it depends on the version, too."""
    with pytest.raises(StoreFull), translated("redis://nas/0"):
        raise redis.exceptions.ResponseError(text)
