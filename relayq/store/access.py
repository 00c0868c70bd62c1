"""Who may use the server: tokens, one-time codes, sessions. Only hashes of their secrets are kept.

Keys, which only the administrator may touch: `relayq-admin:api:SHA256` (hash name, scope, made_at),
`relayq-admin:login:SHA256` → scope (expires), `relayq-admin:session:SHA256` (hash scope, csrf, token; expires).
"""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from relayq.errors import NameTaken, Refused
from relayq.store.admin import Admin

K = "relayq-admin:"
CODE_SECONDS = 300.0  #: a one-time link holds so long
SESSION_SECONDS = 30 * 86400.0


class Scope(StrEnum):
    """What its bearer may do."""

    FULL = "full"
    READ = "read-only"


@dataclass(frozen=True, kw_only=True)
class ApiToken:
    """Lets a program, or a person who signs in with it, use the server until it is revoked."""

    name: str
    scope: Scope
    made_at: float
    digest: str
    secret: str = ""  #: known only when it is made


@dataclass(frozen=True, kw_only=True)
class Session:
    """A browser that has signed in."""

    scope: Scope
    csrf: str  #: what its writes have to repeat
    digest: str
    secret: str = ""  #: known only when it is opened


class Access:
    """Reads and writes them, as the administrator. Raises BrokerUnavailable, BrokerRefused."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        self._do = admin.do

    # ── tokens ──

    def new_token(self, name: str, scope: Scope) -> ApiToken:
        """A token of this name. Raises NameTaken."""
        if any(token.name == name for token in self.tokens()):
            raise NameTaken(f"there is a token called {name} already. Revoke it first: relayq token revoke {name}")
        secret = f"rq_{secrets.token_urlsafe(32)}"
        token = ApiToken(name=name, scope=scope, made_at=time.time(), digest=digest_of(secret), secret=secret)
        with self._admin.together() as pipe:
            fields = {"name": name, "scope": str(scope), "made_at": token.made_at}
            pipe.hset(f"{K}api:{token.digest}", mapping=fields)
        return token

    def token(self, secret: str) -> ApiToken | None:
        """The token with this secret."""
        return self._token(digest_of(secret))

    def tokens(self) -> list[ApiToken]:
        """All, oldest first."""
        found = [self._token(key.removeprefix(f"{K}api:")) for key in self._admin.keys(f"{K}api:*")]
        return sorted((token for token in found if token), key=lambda token: token.made_at)

    def revoke(self, name: str) -> None:
        """End a token, and with it the sessions it opened. Raises Refused if there is none."""
        found = [token for token in self.tokens() if token.name == name]
        if not found:
            raise Refused(f'no token is called "{name}". See: relayq token list')
        for token in found:
            self._do("DEL", f"{K}api:{token.digest}")

    def _token(self, digest: str) -> ApiToken | None:
        fields = _pairs(self._do("HGETALL", f"{K}api:{digest}"))
        if not fields:
            return None
        return ApiToken(
            name=fields["name"], scope=Scope(fields["scope"]), made_at=float(fields["made_at"]), digest=digest
        )

    # ── one-time codes ──

    def new_code(self, scope: Scope) -> str:
        """A secret that opens one session, within five minutes."""
        code = secrets.token_urlsafe(24)
        self._do("SET", f"{K}login:{digest_of(code)}", str(scope), "PX", int(CODE_SECONDS * 1000))
        return code

    def redeem_code(self, code: str) -> Scope | None:
        """Use a code; None if it is unknown, used or too old."""
        scope = self._do("GETDEL", f"{K}login:{digest_of(code)}")
        return Scope(scope) if scope else None

    # ── sessions ──

    def open_session(self, scope: Scope, token: ApiToken | None = None) -> Session:
        """A session, which ends with the token that opened it."""
        secret, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        session = Session(scope=scope, csrf=csrf, digest=digest_of(secret), secret=secret)
        key = f"{K}session:{session.digest}"
        fields = {"scope": str(scope), "csrf": csrf, "token": token.digest if token else ""}
        with self._admin.together() as pipe:
            pipe.hset(key, mapping=fields)
            pipe.pexpire(key, int(SESSION_SECONDS * 1000))
        return session

    def session(self, secret: str) -> Session | None:
        """The session with this secret, if it is still open."""
        digest = digest_of(secret)
        fields = _pairs(self._do("HGETALL", f"{K}session:{digest}"))
        if not fields:
            return None
        if fields["token"] and not self._do("EXISTS", f"{K}api:{fields['token']}"):
            self._do("DEL", f"{K}session:{digest}")
            return None
        return Session(scope=Scope(fields["scope"]), csrf=fields["csrf"], digest=digest)

    def close_session(self, session: Session) -> None:
        """Sign out."""
        self._do("DEL", f"{K}session:{session.digest}")


def digest_of(secret: str) -> str:
    """Under which a secret is kept: it has 192 random bits or more, so that a plain hash hides it."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _pairs(answer: Any) -> dict[str, str]:
    if isinstance(answer, dict):
        return answer
    flat = list(answer or ())
    return dict(zip(flat[::2], flat[1::2], strict=True))
