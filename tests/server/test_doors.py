"""Who may use the server, and who may not."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from relayq.server.doors import FRESH
from relayq.store.access import Access, Scope
from relayq.store.admin import Admin
from tests.conftest import as_admin, serve_redis, wait_until
from tests.server.conftest import Server


def stranger(server: Server) -> httpx.Client:
    return httpx.Client(base_url=server.url, timeout=10)


def relayq(server: Server, *args: str) -> Any:
    argv = [sys.executable, "-m", "relayq", *args, "--json"]
    done = subprocess.run(argv, env=server.env, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_a_stranger_sees_nothing_but_the_way_in(server: Server) -> None:
    """Closed unless named: also what nobody thought of."""
    client = stranger(server)
    for path in ("/nothing", "/jobsite"):
        assert client.get(path).status_code == 404
    for path in ("/", "/jobs", "/machines/w"):
        answer = client.get(path)
        wanted = "/login" if path == "/" else f"/login?next={path}"
        assert (answer.status_code, answer.headers["location"]) == (303, wanted)
    for path in ("/api/v1/overview", "/api/v1/jobs", "/api/v1/openapi.json", "/api/v1/events", "/metrics", "/api/new"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert client.post("/api/v1/jobs", json={"command": "true"}).status_code == 401
    assert client.get("/health").json()["ok"]
    assert client.get("/version").status_code == 200


def test_a_link_of_the_command_line_signs_in_once(server: Server) -> None:
    """With a cookie that no script reads and no other site sends."""
    link = relayq(server, "dashboard")["url"]
    client = stranger(server)
    answer = client.get(link)
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/"))
    assert client.get("/api/v1/session").json()["read_only"] is False
    assert stranger(server).get(link).status_code in (403, 404)
    reader = stranger(server)
    reader.get(relayq(server, "dashboard", "--read-only")["url"])
    assert reader.get("/api/v1/session").json()["read_only"] is True


def test_a_token_signs_in_a_person_and_its_end_ends_the_session(server: Server) -> None:
    """Revoking is for the case that it was lost."""
    token = relayq(server, "token", "api", "phone")["token"]
    client = stranger(server)
    assert client.post("/login", json={"token": token}).status_code == 204
    program = httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {token}"})
    assert client.get("/api/v1/session").status_code == program.get("/api/v1/session").status_code == 200
    assert [row["name"] for row in relayq(server, "token", "list")["api"]] == ["phone"]
    assert relayq(server, "token", "revoke", "phone") == {"revoked": "phone"}
    wait_until(lambda: client.get("/api/v1/session").status_code == 401, 8)
    wait_until(lambda: program.get("/api/v1/session").status_code == 401, 8)


def test_a_write_needs_the_pages_own_word(server: Server) -> None:
    """Another site's page has the cookie sent, at worst, but cannot read the word."""
    client = server.client()
    csrf = client.headers.pop("X-CSRF-Token")
    asked = {"json": {"command": "true", "queue_anyway": True}}
    assert client.post("/api/v1/jobs", **asked).status_code == 403
    assert client.post("/api/v1/jobs", headers={"X-CSRF-Token": "guess"}, **asked).status_code == 403
    other = {"X-CSRF-Token": csrf, "Origin": "http://evil.example"}
    assert client.post("/api/v1/jobs", headers=other, **asked).status_code == 403
    assert client.post("/logout").status_code == 403
    own = {"X-CSRF-Token": csrf, "Origin": server.url}
    assert client.post("/api/v1/jobs", headers=own, **asked).status_code == 201
    assert client.get("/api/v1/overview").json()["counts"]["queued"] == 1


def test_read_only_access_changes_nothing(server: Server) -> None:
    """Neither a page nor a program."""
    for client in (server.client(read_only=True), server.program(scope=Scope.READ)):
        assert client.get("/api/v1/overview").status_code == 200
        for path in ("/api/v1/jobs", "/api/v1/jobs/a/cancel", "/api/v1/workers/w/pause", "/api/v1/joining"):
            answer = client.post(path, json={})
            assert answer.status_code == 403
            assert "read-only" in answer.json()["error"]


def test_a_read_only_server_changes_nothing_for_anybody(redis_url: str, tmp_path: Path) -> None:
    """For a screen on the wall."""
    server = Server(redis_url, tmp_path / "server", "--read-only")
    try:
        assert server.program().post("/api/v1/jobs", json={"command": "true"}).status_code == 403
    finally:
        server.end()


def test_guessing_tokens_is_slow(server: Server) -> None:
    """Five a minute from one address."""
    client = stranger(server)
    token = server.access.new_token("late", Scope.FULL).secret
    answers = [client.post("/login", json={"token": f"guess {n}"}).status_code for n in range(6)]
    assert answers == [403] * 5 + [429]
    late = client.post("/login", json={"token": token})
    assert (late.status_code, int(late.headers["retry-after"]) > 30) == (429, True)


def test_every_answer_keeps_a_browser_from_harm(server: Server) -> None:
    """No script but our own, in no frame, and nothing kept in caches."""
    client = server.client()
    for path in ("/api/v1/overview", "/nothing", "/health", "/static/nothing", "/api/v1/jobs/x"):
        headers = client.get(path).headers
        assert "script-src 'self';" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] in ("no-store", "no-cache")


def test_bodies_are_bounded(server: Server) -> None:
    """From strangers even more."""
    client, nobody = server.program(), stranger(server)
    big = {"command": "cat", "stdin": "x" * (9 << 20)}
    assert client.post("/api/v1/jobs", json=big).status_code == 413
    assert nobody.post("/login", json={"token": "x" * 70_000}).status_code == 413
    chunked = nobody.post(
        "/login", content=(b"x" * 1000 for _ in range(100)), headers={"Content-Type": "application/json"}
    )
    assert chunked.status_code in (400, 413)
    fitting = {"command": "cat", "stdin": "x" * (3 << 20), "queue_anyway": True}
    assert client.post("/api/v1/jobs", json=fitting).status_code == 201


def test_secrets_are_not_kept(server: Server, admin: redis.Redis) -> None:
    """Who reads the broker's memory finds hashes."""
    link = relayq(server, "dashboard")["url"]
    token = relayq(server, "token", "api", "script")["token"]
    client = stranger(server)
    client.post("/login", json={"token": token})
    cookie = next(iter(client.cookies.values()))
    kept = ""
    for key in admin.scan_iter("relayq-admin:*"):
        value = admin.hgetall(key) if admin.type(key) == b"hash" else admin.get(key)
        kept += f"{key!r} {value!r}\n"
    assert "api:" in kept
    for secret in (link.partition("code=")[2], token, cookie):
        assert secret not in kept


def test_who_is_known_stays_while_the_broker_is_away(tmp_path: Path) -> None:
    """The page that says so must not turn into the page to sign in."""
    (tmp_path / "redis").mkdir()
    with serve_redis(tmp_path / "redis") as url:
        server = Server(url, tmp_path / "server")
        try:
            client = server.client()
            assert client.get("/api/v1/overview").json()["broker"]["online"]
            with redis.Redis.from_url(as_admin(url)) as broker, contextlib.suppress(redis.ConnectionError):
                broker.shutdown(nosave=True)
            time.sleep(FRESH)  # what was looked up a moment ago says nothing
            seen = client.get("/api/v1/overview")
            assert seen.status_code == 200
            assert seen.json()["broker"]["online"] is False
            assert "does not answer" in seen.json()["broker"]["error"]
            assert client.get("/api/v1/jobs").status_code == 503
            assert client.get("/health").status_code == 503
            assert stranger(server).get("/api/v1/overview").status_code == 401
        finally:
            server.end()


@pytest.mark.parametrize(
    "path", ["/api/v1/../v1/overview", "//api/v1/overview", "//evil.example", "/static/../api/v1/overview"]
)
def test_odd_paths_are_no_way_around(server: Server, path: str) -> None:
    """The gate and the routes read the same path."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.status in (303, 401, 404)
    assert b"machines" not in answer.read()
    connection.close()


def test_tokens_have_one_name_each(redis_url: str) -> None:
    """Or revoking one would leave the other."""
    from relayq.errors import NameTaken, Refused

    access = Access(Admin(as_admin(redis_url)))
    access.new_token("a", Scope.READ)
    with pytest.raises(NameTaken):
        access.new_token("a", Scope.FULL)
    access.revoke("a")
    with pytest.raises(Refused):
        access.revoke("a")
