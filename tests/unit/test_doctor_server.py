"""What the doctor hears from the server of a broker's machine: a real one, over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from relayq.doctor import server
from relayq.errors import SetupError
from tests.conftest import free_port


@pytest.fixture
def serve() -> Iterator[Callable[[str], str]]:
    """Serves this text as /version; its URL."""
    servers: list[HTTPServer] = []

    def start(text: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.path == "/version" else 404)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                """Nothing to the tests' output."""

        http = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(http)
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"http://127.0.0.1:{http.server_port}"

    yield start
    for http in servers:
        http.shutdown()
        http.server_close()


def test_the_servers_version_is_read_though_a_proxy_is_configured(
    serve: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address is one of a private network, which no proxy knows."""
    url = serve(json.dumps({"version": "2.0.0", "wheel": None, "sha256": None}))
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("no_proxy", "")
    assert server.version(url) == "2.0.0"
    assert server.version(f"{url}/") == "2.0.0"
    assert server.listens("127.0.0.1", int(url.rpartition(":")[2]))


@pytest.mark.parametrize("text", ["hello", "[]", "{}"])
def test_another_program_on_that_port_is_told_from_ours(serve: Callable[[str], str], text: str) -> None:
    """It answers, with something else."""
    with pytest.raises(SetupError, match="no relayq server"):
        server.version(serve(text))


def test_a_server_that_is_away_is_said_with_the_reason() -> None:
    """In the system's words."""
    port = free_port()
    assert not server.listens("127.0.0.1", port)
    with pytest.raises(SetupError, match=f"no answer from http://127.0.0.1:{port}/version .Connection refused"):
        server.version(f"http://127.0.0.1:{port}")
