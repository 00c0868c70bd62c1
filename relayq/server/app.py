"""The HTTP application: its routes, and errors as sentences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from relayq.errors import BadSpec, BrokerUnavailable, NameTaken, Refused, RelayqError
from relayq.server.downloads import Downloads
from relayq.server.joining import Joining

#: The first that fits decides.
_STATUS: tuple[tuple[type[RelayqError], int], ...] = (
    (BadSpec, 400),
    (NameTaken, 409),
    (Refused, 403),
    (BrokerUnavailable, 503),
)


def make_app(home: Path, admin_url: str) -> Starlette:
    """What answers, for the broker at `admin_url`; wheels lie in `home`. Connects to nothing yet."""
    downloads, joining = Downloads(home / "wheels"), Joining(admin_url)
    routes = [
        Route("/version", downloads.version),
        Route("/wheel/{name}", downloads.wheel),
        Route("/join", downloads.join),
        Route("/install-worker.sh", downloads.join),
        Route("/install-worker-rpi.sh", downloads.join_pi),
        Route("/echo", _echo),
        Route("/api/join", joining.join, methods=["POST"]),
        Route("/api/ask", joining.ask, methods=["POST"]),
        Route("/api/answer", joining.answer, methods=["POST"]),
    ]
    handlers: dict[type[Exception] | int, Callable[..., Response]] = {
        RelayqError: _sentence,
        HTTPException: _http_error,
    }
    return Starlette(routes=routes, exception_handlers=handlers)


def _echo(request: Request) -> JSONResponse:
    """Where the asker comes from, and under which name it found us."""
    client = request.client.host if request.client else None
    return JSONResponse({"relayq": True, "you": client, "host": request.headers.get("host")})


def _sentence(_request: Request, error: RelayqError) -> JSONResponse:
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    return JSONResponse({"error": str(error)}, status)


def _http_error(_request: Request, error: HTTPException) -> JSONResponse:
    return JSONResponse({"error": error.detail}, error.status_code)
