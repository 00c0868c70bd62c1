"""Letting machines in: with a token, or after somebody has approved the code they show."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse

import relayq
from relayq import config_values
from relayq.errors import BadSpec, NameTaken, Refused
from relayq.store.admin import Admin
from relayq.store.enrolment import ASK_SECONDS, Enrolment, Machine, Token

MOST_BYTES = 64 << 10
MOST_ASKING = 50  #: machines that wait to be let in; a flood of them must not fill the broker
_UNKNOWN = "this token is unknown, used up or too old. Make another on the broker's machine: relayq token new"


class Joining:
    """The routes. Every machine makes its own password and sends its SHA-256."""

    def __init__(self, admin_url: str) -> None:
        self._admin = Admin(admin_url)
        self._enrolment = Enrolment(self._admin)
        parts = urlsplit(admin_url)
        #: Its host is the one under which the machine found this server.
        self._broker = {"port": parts.port or 6379, "db": int(parts.path.strip("/") or 0)}

    async def join(self, request: Request) -> JSONResponse:
        """Redeem a token: {token, name, labels, identity, password_sha256} → {user, name, labels, broker, version}."""
        asked = await _body(request)
        return JSONResponse(await run_in_threadpool(self._join, asked, _address(request)))

    async def ask(self, request: Request) -> JSONResponse:
        """{name, labels, identity, password_sha256} → {code, ticket, seconds}: the code is for its owner to approve."""
        asked = await _body(request)
        return JSONResponse(await run_in_threadpool(self._ask, asked, _address(request)))

    async def answer(self, request: Request) -> JSONResponse:
        """{ticket} → {} while nobody has approved it, else as `join`."""
        asked = await _body(request)
        return JSONResponse(await run_in_threadpool(self._answer, asked))

    def _join(self, asked: Mapping[str, Any], address: str) -> dict[str, Any]:
        secret = _text(asked, "token")
        token = self._enrolment.token(secret)
        if token is None:
            raise Refused(_UNKNOWN)
        if token.name and asked.get("name") and asked["name"] != token.name:
            raise NameTaken(
                f"this token is for a machine called {token.name}, not {asked['name']}. Leave the name out, or make a "
                "token for it: relayq token new"
            )
        machine = _machine(asked, address, token)
        password = _password(asked)
        token = self._enrolment.redeem(secret)
        if token is None:
            raise Refused(_UNKNOWN)
        try:
            user = self._enrolment.admit(machine, password)
        except BaseException:
            self._enrolment.give_back(secret, token)
            raise
        return self._welcome(user, machine)

    def _ask(self, asked: Mapping[str, Any], address: str) -> dict[str, Any]:
        if len(self._enrolment.asking()) >= MOST_ASKING:
            raise Refused(f"{MOST_ASKING} machines are waiting to be let in already. Try again in 15 minutes")
        machine = self._enrolment.ask(_machine(asked, address, None), _password(asked))
        return {"code": machine.code, "ticket": machine.ticket, "seconds": ASK_SECONDS}

    def _answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        found = self._enrolment.answer(_text(asked, "ticket"))
        if found is None:
            raise Refused("nobody has approved this within 15 minutes. Start the installer again for a new code")
        user, machine = found
        return self._welcome(user, machine) if user else {}

    def _welcome(self, user: str, machine: Machine) -> dict[str, Any]:
        return {
            "user": user,
            "name": machine.name,
            "labels": list(machine.labels),
            "broker": self._broker,
            "version": relayq.__version__,
        }


async def _body(request: Request) -> Mapping[str, Any]:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise BadSpec("that is too much to ask")
        parts.append(part)
    try:
        found = json.loads(b"".join(parts))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise BadSpec("send a JSON object")
    return found


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _text(asked: Mapping[str, Any], key: str) -> str:
    value = asked.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        raise BadSpec(f"{key} is missing, or is no text of at most 200 letters")
    return value


def _password(asked: Mapping[str, Any]) -> str:
    value = _text(asked, "password_sha256")
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise BadSpec("password_sha256 is no SHA-256")
    return value


def _machine(asked: Mapping[str, Any], address: str, token: Token | None) -> Machine:
    try:
        name = config_values.worker_name(token.name if token and token.name else asked.get("name"))
        labels = config_values.labels(asked.get("labels") or [])
    except ValueError as error:
        raise BadSpec(f"name or labels cannot be: {error}") from None
    labels = tuple(dict.fromkeys((*(token.labels if token else ()), *labels)))
    return Machine(name=name, identity=_text(asked, "identity"), address=address, labels=labels)
