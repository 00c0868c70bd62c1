"""How machines are let in: tokens, machines that have joined, machines that ask.

Keys, which only the administrator may touch: `relayq-admin:token:SHA256` and `relayq-admin:ask:TICKET` (hashes, which
expire), `relayq-admin:code:CODE` → ticket (expires), `relayq-admin:machine:NAME` (hash).
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from relayq.errors import NameTaken, Refused
from relayq.store import acl
from relayq.store.admin import Admin

K = "relayq-admin:"
ASK_SECONDS = 15 * 60.0  #: a machine's question waits so long for somebody's answer
_CODE_LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  #: none that looks like another

# A token's use is taken, or refused, in one step: two machines must not both have the last one.
_REDEEM = """
local token = redis.call('HGETALL', KEYS[1])
if #token == 0 then return false end
if redis.call('HINCRBY', KEYS[1], 'uses', -1) <= 0 then redis.call('DEL', KEYS[1]) end
return token
"""


@dataclass(frozen=True, kw_only=True)
class Token:
    """A permission to join. `secret` is known only when it is made."""

    name: str | None  #: what the machine is to be called; None: as it likes
    labels: tuple[str, ...]
    uses: int  #: left
    expires_at: float
    secret: str = ""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine that has joined, or asks to."""

    name: str
    identity: str
    address: str  #: from where it asked
    labels: tuple[str, ...] = ()
    at: float = 0.0  #: when
    code: str = ""  #: by which a question is approved
    ticket: str = ""  #: by which the machine comes back for the answer


class Enrolment:
    """Lets machines in, as the administrator. Raises BrokerUnavailable, BrokerRefused."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        self._do = admin.do

    # ── tokens ──

    def new_token(
        self, *, name: str | None = None, labels: Sequence[str] = (), seconds: float = 3600.0, uses: int = 1
    ) -> Token:
        """Permission to join, for so long and so often. Only its hash is kept."""
        secret = secrets.token_urlsafe(24)
        key, now = _token_key(secret), time.time()
        fields = {"name": name or "", "labels": ",".join(labels), "uses": uses, "expires_at": now + seconds}
        with self._admin.together() as pipe:
            pipe.hset(key, mapping=fields)
            pipe.pexpire(key, int(seconds * 1000))
        return Token(name=name, labels=tuple(labels), uses=uses, expires_at=now + seconds, secret=secret)

    def token(self, secret: str) -> Token | None:
        """What a token permits, if it may still be used."""
        return _token(self._do("HGETALL", _token_key(secret)))

    def redeem(self, secret: str) -> Token | None:
        """Use a token once; None if it is unknown, used up or too old."""
        return _token(self._do("EVAL", _REDEEM, 1, _token_key(secret)))

    def give_back(self, secret: str, token: Token) -> None:
        """Undo a `redeem` of which nothing came."""
        left = token.expires_at - time.time()
        if left > 0:
            key = _token_key(secret)
            with self._admin.together() as pipe:
                pipe.hincrby(key, "uses", 1)
                pipe.hset(
                    key,
                    mapping={
                        "name": token.name or "",
                        "labels": ",".join(token.labels),
                        "expires_at": token.expires_at,
                    },
                )
                pipe.pexpire(key, int(left * 1000))

    def tokens(self) -> list[Token]:
        """All that may still be used."""
        keys = self._admin.keys(f"{K}token:*")
        found = [_token(self._do("HGETALL", key)) for key in keys]
        return sorted((token for token in found if token), key=lambda token: token.expires_at)

    # ── machines ──

    def admit(self, machine: Machine, password_sha256: str) -> str:
        """Let a machine in, or in again: its user's name. Raises NameTaken if another machine has the name."""
        key = f"{K}machine:{machine.name}"
        registered = self._do("HGET", "relayq:workers", machine.name)  # perhaps without having joined, as in 1.x
        taken = registered is not None and json.loads(registered)["identity"] != machine.identity
        if not taken:
            self._do("HSETNX", key, "identity", machine.identity)
        if taken or self._do("HGET", key, "identity") != machine.identity:
            raise NameTaken(
                f"another machine has joined as {machine.name}. Give this one another name, or remove that one first: "
                f"relayq worker remove {machine.name}"
            )
        user = acl.worker_user(machine.name)
        self._admin.put_user(user, "worker", password_sha256)
        fields = {"identity": machine.identity, "address": machine.address, "labels": ",".join(machine.labels)}
        with self._admin.together() as pipe:
            pipe.hset(key, mapping=fields | {"at": time.time(), "user": user})
        return user

    def dismiss(self, name: str) -> bool:
        """Take a machine's access away, at once; whether it had any."""
        found = self._admin.drop_user(acl.worker_user(name))
        return bool(self._do("DEL", f"{K}machine:{name}")) or found

    def machines(self) -> list[Machine]:
        """All that have joined, by name."""
        keys = self._admin.keys(f"{K}machine:*")
        return [_machine(key.removeprefix(f"{K}machine:"), self._do("HGETALL", key)) for key in keys]

    # ── machines that ask ──

    def ask(self, machine: Machine, password_sha256: str) -> Machine:
        """A machine without a token asks to be let in; with the code that it shows to its owner, and its ticket."""
        ticket = secrets.token_urlsafe(24)
        code = "".join(secrets.choice(_CODE_LETTERS) for _ in range(6))
        fields = {
            "name": machine.name,
            "identity": machine.identity,
            "address": machine.address,
            "labels": ",".join(machine.labels),
            "password": password_sha256,
            "code": code,
            "at": time.time(),
        }
        with self._admin.together() as pipe:
            pipe.hset(f"{K}ask:{ticket}", mapping=fields)
            pipe.pexpire(f"{K}ask:{ticket}", int(ASK_SECONDS * 1000))
            pipe.set(f"{K}code:{code}", ticket, px=int(ASK_SECONDS * 1000))
        return _machine(machine.name, fields | {"ticket": ticket})

    def approve(self, code: str, *, name: str | None = None, labels: Sequence[str] | None = None) -> Machine:
        """Let in the machine that shows this code. Raises Refused if none does, NameTaken."""
        ticket = self._do("GET", f"{K}code:{code.strip().upper()}")
        asked = self._do("HGETALL", f"{K}ask:{ticket}") if ticket else None
        if not asked:
            raise Refused(f"no machine shows the code {code} (a code holds for 15 minutes). Look again on that machine")
        fields = _pairs(asked)
        machine = _machine(name or fields["name"], fields)
        if labels is not None:
            machine = Machine(**{**vars(machine), "labels": tuple(labels)})
        user = self.admit(machine, fields["password"])
        granted = {"user": user, "name": machine.name, "labels": ",".join(machine.labels)}
        with self._admin.together() as pipe:
            pipe.hset(f"{K}ask:{ticket}", mapping=granted)
            pipe.delete(f"{K}code:{code.strip().upper()}")
        return machine

    def answer(self, ticket: str) -> tuple[str, Machine] | None:
        """(user, machine) for a machine that comes back with its ticket; user is empty until somebody approves.

        None: the question is too old. The answer is given until it expires, because it may be lost on its way.
        """
        asked = self._do("HGETALL", f"{K}ask:{ticket}")
        if not asked:
            return None
        fields = _pairs(asked)
        return fields.get("user", ""), _machine(fields["name"], fields)

    def asking(self) -> list[Machine]:
        """All that wait to be let in, oldest first."""
        keys = self._admin.keys(f"{K}ask:*")
        found = [_pairs(self._do("HGETALL", key)) for key in keys]
        return sorted(
            (_machine(fields["name"], fields) for fields in found if fields and not fields.get("user")),
            key=lambda machine: machine.at,
        )


def _token_key(secret: str) -> str:
    return f"{K}token:{hashlib.sha256(secret.encode()).hexdigest()}"


def _pairs(answer: Any) -> dict[str, str]:
    if isinstance(answer, dict):
        return answer
    flat = list(answer or ())
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def _token(answer: Any) -> Token | None:
    fields = _pairs(answer)
    if not fields.get("expires_at"):
        return None
    return Token(
        name=fields["name"] or None,
        labels=_words(fields["labels"]),
        uses=int(fields["uses"]),
        expires_at=float(fields["expires_at"]),
    )


def _machine(name: str, answer: Any) -> Machine:
    fields = _pairs(answer)
    return Machine(
        name=name,
        identity=fields.get("identity", ""),
        address=fields.get("address", ""),
        labels=_words(fields.get("labels", "")),
        at=float(fields.get("at", 0)),
        code=fields.get("code", ""),
        ticket=fields.get("ticket", ""),
    )
