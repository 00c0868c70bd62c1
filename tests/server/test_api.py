"""The API with real workers behind it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from relayq.model import Bell, WorkerInfo
from relayq.store.redis import RedisStore
from tests.acceptance.conftest import Fleet
from tests.conftest import serve_redis, wait_until
from tests.server.conftest import Server


def ended(client: httpx.Client, id: str) -> dict[str, Any]:
    """The job, once it has ended."""

    def look() -> dict[str, Any] | None:
        job: dict[str, Any] = client.get(f"/api/v1/jobs/{id}").json()
        return job if job["ended_at"] else None

    found = wait_until(look, 20)
    assert isinstance(found, dict)
    return found


def test_a_job_submitted_over_http_runs_and_is_shown_in_full(server: Server, fleet: Fleet) -> None:
    """From the form to the log, as the pages do it."""
    fleet.start("w")
    client = server.client()
    submitted = client.post("/api/v1/jobs", json={"command": "echo hello; echo oops >&2", "env": {"KEY": "secret"}})
    assert submitted.status_code == 201, submitted.text
    id = submitted.json()["id"]
    job = ended(client, id)
    assert (job["state"], job["exit_code"], job["worker"]) == ("succeeded", 0, "w")
    assert job["spec"]["env"] == {"KEY": "•••"}
    assert "secret" not in client.get(f"/api/v1/jobs/{id}").text
    assert [moment["what"] for moment in job["timeline"]] == ["queued", "claimed", "ended", "finished"]
    assert job["as_cli"] == "relayq submit --env KEY=\"$KEY\" -- 'echo hello; echo oops >&2'"
    output = client.get(f"/api/v1/jobs/{id}/output").json()
    assert output["ended"]
    assert {c["stream"]: base64.b64decode(c["data"]) for c in output["chunks"]} == {1: b"hello\n", 2: b"oops\n"}
    assert client.get(f"/api/v1/jobs/{id}/output", params={"after": output["next"]}).json()["chunks"] == []
    raw = client.get(f"/api/v1/jobs/{id}/output/raw", params={"stream": "1"})
    assert raw.content == b"hello\n"
    assert raw.headers["content-disposition"].startswith("attachment")


def test_the_overview_has_machines_and_what_runs_waits_and_has_ended(server: Server, fleet: Fleet) -> None:
    """Everything the home page shows, in one answer."""
    fleet.start("w", slots=1)
    client = server.client()
    first, second = (client.post("/api/v1/jobs", json={"command": "sleep 60"}).json()["id"] for _ in range(2))
    wait_until(lambda: client.get("/api/v1/overview").json()["counts"]["running"] == 1, 20)
    seen = client.get("/api/v1/overview").json()
    assert [job["id"] for job in seen["running"]] == [first]
    assert [job["id"] for job in seen["waiting"]] == [second]
    assert seen["waiting"][0]["explain"] == f"{second} waits for a free slot: w is busy"
    assert [way["verb"] for way in seen["waiting"][0]["way_out"]] == ["cancel"]
    assert seen["sentence"] == "1 of 1 machine up · 1 running · 1 waiting"
    machine = seen["machines"][0]
    assert (machine["name"], machine["state"], machine["running"]) == ("w", "busy", 1)
    for id in (first, second):
        assert client.post(f"/api/v1/jobs/{id}/cancel").json() == {"id": id}
        assert ended(client, id)["state"] == "cancelled"
    assert {job["id"] for job in client.get("/api/v1/overview").json()["last"]} == {first, second}


def test_a_machine_tells_how_it_is(server: Server, fleet: Fleet) -> None:
    """With its pulse, within seconds of its start."""
    fleet.start("w")
    client = server.client()

    def told() -> bool:
        machine = client.get("/api/v1/workers/w").json()
        return machine["memory"] is not None and machine["disk"] is not None and machine["heartbeats"][95] is not None

    wait_until(told, 15)


def test_a_machine_is_paused_and_resumed(server: Server, fleet: Fleet) -> None:
    """With who and why, as everywhere."""
    fleet.start("w")
    client = server.client()
    paused = client.post("/api/v1/workers/w/pause", json={"for": 3600, "note": "backup"}).json()
    assert (paused["state"], paused["pause"]["note"]) == ("paused", "backup")
    id = client.post("/api/v1/jobs", json={"command": "true", "on": "w"}).json()["id"]
    waiting = client.get(f"/api/v1/jobs/{id}").json()
    assert {"verb": "resume", "label": "Resume w", "worker": "w"} in waiting["way_out"]
    assert client.post("/api/v1/workers/w/drain").json()["state"] == "drained"
    assert client.post("/api/v1/workers/w/resume").json()["pause"] is None
    assert ended(client, id)["state"] == "succeeded"
    assert client.post("/api/v1/workers/nobody/resume").status_code == 404


def test_a_job_tied_to_an_absent_machine_runs_elsewhere(server: Server, fleet: Fleet) -> None:
    """The way out of the commonest wait at home."""
    fleet.start("w")
    client = server.client()
    asked = {"command": "echo here", "on": "mac-mini", "queue_anyway": True}
    id = client.post("/api/v1/jobs", json=asked).json()["id"]
    assert client.get(f"/api/v1/jobs/{id}").json()["way_out"][0]["verb"] == "run-elsewhere"
    new = client.post(f"/api/v1/jobs/{id}/run-elsewhere")
    assert new.status_code == 201, new.text
    job = ended(client, new.json()["id"])
    assert (job["state"], job["worker"], job["retry_of"]) == ("succeeded", "w", id)
    assert client.get(f"/api/v1/jobs/{id}").json()["state"] == "cancelled"
    assert client.post(f"/api/v1/jobs/{id}/run-elsewhere").status_code == 409
    again = client.post(f"/api/v1/jobs/{new.json()['id']}/rerun").json()["id"]
    assert ended(client, again)["retry_of"] == new.json()["id"]


def test_refusals_are_sentences(server: Server, fleet: Fleet) -> None:
    """What relayq says on the command line, it says here."""
    client = server.client()
    for body, words in [
        ({"command": ""}, "the command is empty"),
        ({"command": "true", "on": "nobody"}, "no worker is called nobody"),
        ({"command": "true", "colour": "red"}, "colour"),
        ({"command": "true", "argv": ["true"]}, "not both"),
    ]:
        answer = client.post("/api/v1/jobs", json=body)
        assert answer.status_code == 422, answer.text
        assert words in answer.json()["error"]
    assert client.get("/api/v1/jobs/unknown").status_code == 404
    assert client.get("/api/v1/nothing").json() == {"error": "Not Found"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("jobs", r'{"command": "\ud800"}'),
        ("jobs", r'{"\ud800": 1}'),
        ("jobs", r'{"command": "true", "env": {"\ud800": "x"}, "queue_anyway": true}'),
        ("jobs", r'{"command": "true", "env": {"A": "\ud800"}, "queue_anyway": true}'),
        ("jobs", r'{"command": "true", "name": "\ud800", "queue_anyway": true}'),
        ("jobs", r'{"command": "true", "needs": ["\ud800"], "queue_anyway": true}'),
        ("jobs", r'{"command": "true", "on": "\ud800", "queue_anyway": true}'),
        ("jobs", r'{"command": "cat", "stdin": "\ud800", "queue_anyway": true}'),
        ("jobs", r'{"kind": "\ud800"}'),
        ("jobs", r'{"kind": "transcode", "params": {"\ud800": "\ud800"}}'),
        ("jobs", r'{"command": "true", "timeout": NaN}'),
        ("jobs", r'{"command": "true", "timeout": 1e999}'),
        ("jobs", r'{"command": "true", "id": "\ud800"}'),
        ("jobs", r'{"command": "true", "id": "last"}'),
        ("jobs", "[" * 100_000),
        ("workers/w/pause", r'{"note": "\ud800"}'),
        ("workers/w/pause", r'{"for": NaN}'),
        ("joining", r'{"name": "\ud800"}'),
        ("joining", r'{"labels": ["\ud800"]}'),
        ("joining", r'{"labels": ["a b", "$(reboot)"]}'),
    ],
)
def test_what_is_no_text_or_no_number_is_refused(served: httpx.Client, path: str, body: str) -> None:
    """With a sentence, and never taken in."""
    answer = served.post(f"/api/v1/{path}", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["error"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A program of a server with a worker called w."""
    folder = tmp_path_factory.mktemp("served")
    with serve_redis(folder) as url:
        bell = Bell(queue="relayq.ring.w", ring="r", channel="/0.c", nudge="n")
        with closing(RedisStore(url)) as store:
            store.register(WorkerInfo(name="w", identity="i", incarnation="n", slots=1), bell)
        server = Server(url, folder / "server")
        yield server.program()
        server.end()
