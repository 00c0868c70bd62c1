"""What stands before every route: who may pass, and the headers that keep a browser from harm."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relayq.errors import BrokerUnavailable
from relayq.server.doors import Caller, Doors
from relayq.server.pages import PAGES as SHELLS

#: Open to all: signing in, what a machine needs to join, and the pages' own files, which hold no secrets.
OPEN = frozenset(
    {
        *("/login", "/health", "/favicon.ico"),
        *("/version", "/join", "/install-worker.sh", "/install-worker-rpi.sh", "/echo"),
        *("/api/join", "/api/ask", "/api/answer"),
    }
)
PAGES = frozenset(path.split("/")[1] for path in SHELLS) - {""}  #: how the addresses of pages begin
OPEN_BELOW = ("/static/", "/wheel/")
MOST = 8 << 20  #: bytes of a request: a job takes 4 MiB, its input in base64 a third more
MOST_FROM_STRANGERS = 64 << 10
READS = frozenset({"GET", "HEAD", "OPTIONS"})

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Gate:
    """Closed unless a path is named above."""

    def __init__(self, app: ASGIApp, doors: Doors) -> None:
        self._app = app
        self._doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application's answer, or ours."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        send, path = _with_headers(scope["path"], send), scope["path"]
        most = MOST_FROM_STRANGERS if _is_open(path) else MOST
        refusal = _too_much(scope, most) or (None if _is_open(path) else await self._refusal(scope))
        return await (refusal or self._app)(scope, _bounded(receive, most), send)

    async def _refusal(self, scope: Scope) -> Response | None:
        request = HTTPConnection(scope)
        try:
            caller = await self._doors.caller(request)
        except BrokerUnavailable as error:
            return _sentence(str(error), 503)
        if caller is None:
            return _stranger(scope)
        scope.setdefault("state", {})["caller"] = caller
        return None if scope["method"] in READS else _refused_write(request, caller)


def _too_much(scope: Scope, most: int) -> Response | None:
    length = HTTPConnection(scope).headers.get("content-length", "0")
    if length.isdecimal() and int(length[:18]) <= most:
        return None
    return _sentence(f"that is too much: at most {most >> 10} KiB", 413)


def _bounded(receive: Receive, most: int) -> Receive:
    """For bodies that do not say how long they are."""
    size = 0

    async def receiving() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > most:
            raise HTTPException(413, f"that is too much: at most {most >> 10} KiB")
        return message

    return receiving


def _is_open(path: str) -> bool:
    return path in OPEN or path.startswith(OPEN_BELOW)


def _stranger(scope: Scope) -> Response:
    path = scope["path"]
    if scope["method"] in READS and (path == "/" or path.split("/")[1] in PAGES):
        query = scope["query_string"].decode("latin-1")
        wanted = f"{path}?{query}" if query else path
        return RedirectResponse("/login" if wanted == "/" else f"/login?next={quote(wanted, safe='/')}", 303)
    if not path.startswith(("/api/", "/metrics", "/logout")):
        return _sentence("there is no such page", 404)
    answer = _sentence("sign in first: relayq dashboard; programs show a token (relayq token api)", 401)
    answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _refused_write(request: HTTPConnection, caller: Caller) -> Response | None:
    if caller.read_only:
        return _sentence("this access is read-only: sign in with a token that may change things", 403)
    origin = request.headers.get("origin")
    if origin is not None and caller.session and urlsplit(origin).netloc != request.headers.get("host"):
        return _sentence("another site's page wanted to change something here; that is refused", 403)
    if not caller.repeats(request.headers.get("x-csrf-token", "")):
        return _sentence("the header X-CSRF-Token is missing or old: load the page again", 403)
    return None


def _sentence(text: str, status: int) -> JSONResponse:
    return JSONResponse({"error": text}, status)


def _with_headers(path: str, send: Send) -> Callable[[Message], Awaitable[None]]:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if path.startswith("/static/"):
                headers.setdefault("Cache-Control", "no-cache")  # asked again, answered with 304
            else:
                headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sending
