"""The server as a process of its own, on a real broker, and somebody who has signed in."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from relayq.store.access import Access, Scope
from relayq.store.admin import Admin
from tests.acceptance.conftest import fleet  # noqa: F401 (a fixture)
from tests.conftest import as_admin, free_port, wait_until


class Server:
    """A `relayq server`, and ways to sign in."""

    def __init__(self, url: str, home: Path, *options: str) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.admin_url = as_admin(url)
        self.access = Access(Admin(self.admin_url))
        self.log = home / "server.log"
        home.mkdir(exist_ok=True)
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("RELAYQ_")},
            "RELAYQ_HOME": str(home),
            "RELAYQ_BROKER_URL": url,
            "RELAYQ_ADMIN_URL": self.admin_url,
            "RELAYQ_SERVER_PORT": str(self.port),
        }
        self.argv = [sys.executable, "-m", "relayq", "server", "--address", "127.0.0.1", *options]
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.argv, env=self.env, stdout=log, stderr=log)
        wait_until(self.answers, 15, self.log.read_text)

    def answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/echo").status_code == 200
        return False

    def client(self, *, read_only: bool = False, **options: Any) -> httpx.Client:
        """Somebody with a one-time link."""
        client = httpx.Client(base_url=self.url, timeout=10, **options)
        code = self.access.new_code(Scope.READ if read_only else Scope.FULL)
        assert client.get("/login", params={"code": code}).status_code == 200
        client.headers["X-CSRF-Token"] = client.get("/api/v1/session").json()["csrf"]
        return client

    def program(self, name: str = "script", scope: Scope = Scope.FULL) -> httpx.Client:
        """A program with a token."""
        token = self.access.new_token(name, scope)
        return httpx.Client(base_url=self.url, timeout=10, headers={"Authorization": f"Bearer {token.secret}"})

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture
def server(redis_url: str, tmp_path: Path) -> Iterator[Server]:
    """A server of an empty broker."""
    server = Server(redis_url, tmp_path / "server")
    yield server
    server.end()
