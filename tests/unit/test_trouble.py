"""What is said of a broker that does not answer."""

from __future__ import annotations

import pytest
import redis

from relayq.errors import BrokerUnavailable
from relayq.store.trouble import translated

HERE = "Is it running? See: relayq up"
THERE = "Is that machine on and on the network, and does Redis run there? See: relayq doctor"


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("redis://:x@127.0.0.1:6379/0", HERE),
        ("redis://localhost/0", HERE),
        ("rediss://[::1]:6379/0", HERE),
        ("unix:///run/redis.sock", HERE),
        ("redis://:x@100.103.45.61:6379/0", THERE),
        ("redis://127.example.org:6379/0", THERE),
        ("redis://:p%40ss@nas/0", THERE),
        ("redis://[fd7a::1]:6379/0", THERE),
    ],
)
def test_a_broker_that_is_away_is_looked_for_where_it_is(url: str, advice: str) -> None:
    """`relayq up` starts one here, which is no help if it is on another machine."""
    with pytest.raises(BrokerUnavailable) as caught, translated(url):
        raise redis.exceptions.ConnectionError("Error 111 connecting to nas:6379. Connection refused.")
    assert str(caught.value).endswith(f"does not answer (Connection refused). {advice}")
    assert "p%40ss" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "serves_nobody"),
    [
        (redis.exceptions.ConnectionError("Error 111 connecting to nas:6379. Connection refused."), True),
        (redis.exceptions.BusyLoadingError("Redis is loading the dataset in memory"), True),
        (redis.exceptions.ResponseError("MISCONF Errors writing to the AOF file: No space left on device"), True),
        (redis.exceptions.ResponseError("BUSY Redis is busy running a script"), True),
        (redis.exceptions.ResponseError("MASTERDOWN Link with MASTER is down"), False),
        (redis.exceptions.TimeoutError("Timeout reading from socket"), False),
        (redis.exceptions.ConnectionError("Error 113 connecting to nas:6379. No route to host."), False),
        (redis.exceptions.ConnectionError("Connection closed by server."), False),
    ],
)
def test_jobs_need_not_stop_for_a_broker_that_serves_nobody(said: Exception, serves_nobody: bool) -> None:
    """It can give none of them away; one that is only not reached from here may."""
    with pytest.raises(BrokerUnavailable) as caught, translated("redis://nas/0"):
        raise said
    assert caught.value.serves_nobody is serves_nobody
