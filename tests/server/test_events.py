"""Live events: overviews, a job's details and its output, as they happen."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import httpx
import pytest

from relayq.server import events
from tests.acceptance.conftest import Fleet
from tests.conftest import wait_until
from tests.server.conftest import Server


def told(response: httpx.Response) -> Iterator[tuple[str, Any]]:
    """(event, data) as they come."""
    name = ""
    for line in response.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def test_the_overview_comes_at_once_and_after_changes(server: Server, fleet: Fleet) -> None:
    """No browser has to ask again."""
    fleet.start("w")
    client = server.client()
    with client.stream("GET", "/api/v1/events") as response:
        stream = told(response)
        name, first = next(stream)
        assert (name, first["counts"]["succeeded"]) == ("overview", 0)
        client.post("/api/v1/jobs", json={"command": "true"})
        began = time.monotonic()
        assert next(data for name, data in stream if name == "overview" and data["counts"]["succeeded"])
        assert time.monotonic() - began < 5


def test_a_job_is_followed_with_its_output_over_its_attempts(server: Server, fleet: Fleet) -> None:
    """What the job page shows: first attempt, retry, end, without a gap."""
    fleet.start("w")
    client = server.client()
    script = "echo attempt $RELAYQ_ATTEMPT; sleep 0.5; echo more; test $RELAYQ_ATTEMPT = 2"
    asked = {"script": script, "retries": 1, "retry_delay": 0.1}
    id = client.post("/api/v1/jobs", json=asked).json()["id"]
    text: dict[int, bytes] = {1: b"", 2: b""}
    states = []
    with client.stream("GET", "/api/v1/events", params={"job": id}) as response:
        for name, data in told(response):
            if name == "output":
                for chunk in data["chunks"]:
                    text[data["attempt"]] += base64.b64decode(chunk["data"])
            if name == "job":
                states.append(data["state"])
            if states and states[-1] == "succeeded" and text[2].endswith(b"more\n"):
                break
    assert text == {1: b"attempt 1\nmore\n", 2: b"attempt 2\nmore\n"}


def test_a_stream_ends_with_its_session(server: Server) -> None:
    """Who is signed out is not told any more."""
    client = server.client()
    with client.stream("GET", "/api/v1/events") as response:
        stream = told(response)
        next(stream)
        other = server.client()
        other.cookies, other.headers["X-CSRF-Token"] = client.cookies, client.headers["X-CSRF-Token"]
        assert other.post("/logout").status_code == 204
        began = time.monotonic()
        assert list(stream) is not None
        assert time.monotonic() - began < 20


def test_a_broker_that_is_away_is_told(server: Server, fleet: Fleet, admin: Any) -> None:
    """Old data is never shown as fresh."""
    client = server.client()
    with client.stream("GET", "/api/v1/events") as response:
        stream = told(response)
        next(stream)
        admin.execute_command("ACL", "SETUSER", "default", "off")
        try:
            admin.execute_command("CLIENT", "KILL", "USER", "default")
            assert next(data for name, data in stream if name == "trouble")["error"]
        finally:
            admin.execute_command("ACL", "SETUSER", "default", "on")
    wait_until(lambda: client.get("/api/v1/overview").json()["broker"]["online"], 10)


def test_a_server_that_stops_lets_its_streams_go(server: Server) -> None:
    """It does not wait for who looks."""
    client = server.client()
    with client.stream("GET", "/api/v1/events") as response:
        stream = told(response)
        next(stream)
        server.process.terminate()
        list(stream)
    assert server.process.wait(10) == 0
    assert "Cancel" not in server.log.read_text()
    server.start()


def test_a_client_that_does_not_read_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept for it; it comes back and is told everything anew."""
    monkeypatch.setattr(events, "SLOW", 0.05)
    sent: list[Any] = []
    ended: list[bool] = []

    async def frames() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"event: ping\ndata: {}\n\n"
        finally:
            ended.append(True)

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) == 3:
            await asyncio.sleep(3600)

    async def look() -> None:
        body = frames()
        await asyncio.wait_for(events.EventStream(body).stream_response(send), 10)
        await body.aclose()

    asyncio.run(look())
    assert len(sent) == 3
    assert ended == [True]
