"""Who asks: by a session's cookie or a token, as the store knows them; remembered while the broker is away."""

from __future__ import annotations

import hmac
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from relayq.errors import BrokerRefused, BrokerUnavailable
from relayq.store.access import Access, Scope, Session, digest_of
from relayq.store.admin import Admin

FRESH = 5.0  #: seconds until the store is asked again, so long a revoked token may still be used
WHILE_AWAY = 600.0  #: seconds that who was known before stays known while the broker does not answer
MOST_KNOWN = 1000


@dataclass(frozen=True)
class Caller:
    """Somebody who may use the server."""

    read_only: bool
    session: Session | None = None  #: a browser; without one a token was shown

    def repeats(self, csrf: str) -> bool:
        """Whether a write comes from our own page."""
        return self.session is None or hmac.compare_digest(self.session.csrf.encode(), csrf.encode())


class Doors:
    """Lets in whom the store knows."""

    def __init__(self, admin_url: str, *, read_only: bool = False) -> None:
        self.admin = Admin(admin_url)
        self.access = Access(self.admin)
        self._read_only = read_only
        self._known: OrderedDict[str, tuple[Caller | None, float]] = OrderedDict()

    async def caller(self, request: HTTPConnection) -> Caller | None:
        """Who asks; None if nobody we know. Raises BrokerUnavailable if that cannot be told."""
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and secret:
            return await self._look("t" + digest_of(secret), lambda: self._with_token(secret))
        cookie = request.cookies.get(cookie_name(request))
        if cookie:
            return await self._look("s" + digest_of(cookie), lambda: self._with_session(cookie))
        return None

    def forget(self, session: Session) -> None:
        """It has ended."""
        self._known.pop("s" + session.digest, None)

    async def _look(self, key: str, ask: Callable[[], Caller | None]) -> Caller | None:
        known, at = self._known.get(key, (None, -WHILE_AWAY))
        age = time.monotonic() - at
        if known is not None and age < FRESH:
            return known
        try:
            known = await run_in_threadpool(ask)
        except BrokerRefused:
            raise
        except BrokerUnavailable:
            if known is None or age > WHILE_AWAY:
                raise
            return known
        self._known.pop(key, None)
        if known is not None:
            self._known[key] = known, time.monotonic()
            if len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
        return known

    def _with_token(self, secret: str) -> Caller | None:
        token = self.access.token(secret)
        return Caller(self._limited(token.scope)) if token else None

    def _with_session(self, cookie: str) -> Caller | None:
        session = self.access.session(cookie)
        return Caller(self._limited(session.scope), session) if session else None

    def _limited(self, scope: Scope) -> bool:
        return self._read_only or scope is not Scope.FULL

    # ── signing in ──

    def sign_in(self, secret: str) -> Session | None:
        """Open a session with a token."""
        token = self.access.token(secret)
        return self.access.open_session(token.scope, token) if token else None

    def sign_in_once(self, code: str) -> Session | None:
        """Open a session with a one-time code."""
        scope = self.access.redeem_code(code)
        return self.access.open_session(scope) if scope else None


def cookie_name(request: HTTPConnection) -> str:
    """Cookies know no ports: two servers of one machine must not take each other's."""
    return f"relayq-{(request.scope.get('server') or ('', 0))[1]}"
