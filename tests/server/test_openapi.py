"""The API's document is true, and nothing that can be asked makes the server fail."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from relayq.model import Bell, WorkerInfo
from relayq.store.access import Scope
from relayq.store.redis import RedisStore
from tests.conftest import serve_redis
from tests.server.conftest import Server

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
#: A stream that does not end is tested elsewhere.
ENDLESS = "/api/v1/events"
EXAMPLES = 20  #: a route, of each sort


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Server, dict[str, str]]]:
    """A server with a worker called w, which takes nothing, and a token that may everything."""
    (tmp_path / "redis").mkdir()
    with serve_redis(tmp_path / "redis") as url:
        store = RedisStore(url)
        store.register(
            WorkerInfo(name="w", identity="i", incarnation="n", slots=1),
            Bell(queue="relayq.ring.w", ring="r", channel="/0.c", nudge="n"),
        )
        server = Server(url, tmp_path / "server")
        token = server.access.new_token("fuzz", Scope.FULL).secret
        yield server, {"Authorization": f"Bearer {token}"}
        server.end()
        store.close()


@pytest.fixture
def document(served: tuple[Server, dict[str, str]]) -> schemathesis.schemas.BaseSchema:
    """As the server gives it."""
    server, headers = served
    text = requests.get(f"{server.url}/api/v1/openapi.json", headers=headers, timeout=10).json()
    schema = schemathesis.openapi.from_dict(text)
    schema.config.update(base_url=server.url)
    return schema.exclude(path=ENDLESS)


def test_nothing_that_can_be_asked_makes_the_server_fail(
    document: schemathesis.schemas.BaseSchema, served: tuple[Server, dict[str, str]]
) -> None:
    """Every route, with what its document allows and with what it does not."""
    tried = []
    for found in document.get_all_operations():
        operation = found.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
            def ask(case: schemathesis.Case) -> None:
                case.call_and_validate(headers=served[1], checks=CHECKS, timeout=10)

            with contextlib.suppress(Unsatisfiable):  # nothing about this route can be wrong
                ask()
        tried.append(operation.label)
    assert "POST /api/v1/jobs" in tried
    assert len(tried) >= 15
