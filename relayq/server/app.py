"""The HTTP application: its routes, who may use them, and errors as sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import relayq
from relayq.config import Settings
from relayq.errors import (
    AmbiguousJob,
    BadSpec,
    BrokerUnavailable,
    NameTaken,
    NoSuchWorker,
    Refused,
    RelayqError,
    StoreFull,
    UnknownJob,
)
from relayq.server import events, jobs, looking, output, signing, workers
from relayq.server.downloads import Downloads
from relayq.server.gate import Gate
from relayq.server.joining import Joining
from relayq.server.pages import page_routes
from relayq.server.signing import Guesses
from relayq.server.tools import make_tools

API = "/api/v1"


class Trouble(BaseModel):
    """What every refusal looks like."""

    error: str


ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": Trouble, "description": "the body is no JSON"},
    401: {"model": Trouble, "description": "sign in first"},
    403: {"model": Trouble, "description": "this access may not do it"},
    404: {"model": Trouble, "description": "there is no such job, worker or page"},
    405: {"model": Trouble, "description": "not with this method"},
    409: {"model": Trouble, "description": "it is not in a state for that"},
    413: {"model": Trouble, "description": "that is too much"},
    422: {"model": Trouble, "description": "what was asked cannot be"},
    503: {"model": Trouble, "description": "the broker does not answer"},
    507: {"model": Trouble, "description": "the broker is close to its memory limit"},
}
#: The first that fits decides. Machines that join know the statuses of their own routes.
_STATUS: tuple[tuple[type[RelayqError], int, int], ...] = (
    (BadSpec, 422, 400),
    (NoSuchWorker, 422, 422),
    (UnknownJob, 404, 404),
    (AmbiguousJob, 404, 404),
    (StoreFull, 507, 507),
    (NameTaken, 409, 409),
    (Refused, 409, 403),
    (BrokerUnavailable, 503, 503),
)


def make_app(settings: Settings, admin_url: str, *, read_only: bool = False) -> FastAPI:
    """What answers, for the broker of `settings`. Connects to nothing yet; `app.state.tools` is to be entered."""
    tools = make_tools(settings, admin_url, read_only=read_only)
    app = FastAPI(
        title="relayq",
        version=relayq.__version__,
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # they would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_exception_handler(RelayqError, _sentence)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _defect)
    app.state.tools = tools
    app.state.guesses = Guesses()
    for part in (signing, looking, jobs, output, workers, events):
        app.include_router(part.router, responses=ERRORS)
    app.router.routes += [*_joining(settings, admin_url), *page_routes()]
    app.add_middleware(Gate, doors=tools.doors)
    return app


def _joining(settings: Settings, admin_url: str) -> list[Route]:
    downloads, joining = Downloads(settings.home / "wheels"), Joining(admin_url)
    return [
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


def _echo(request: Request) -> JSONResponse:
    """Where the asker comes from, and under which name it found us."""
    client = request.client.host if request.client else None
    return JSONResponse({"relayq": True, "you": client, "host": request.headers.get("host")})


def _sentence(request: Request, error: Exception) -> JSONResponse:
    ours = request.url.path.startswith(API)
    found = next(((api, joining) for kind, api, joining in _STATUS if isinstance(error, kind)), (500, 500))
    status = found[0] if ours else found[1]
    if isinstance(error, NoSuchWorker) and "name" in request.path_params:
        status = 404
    return _refusal(str(error), status)


def _not_understood(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    return _refusal(f"{where}: {first['msg'].lower()}", 422)


def _http_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return _refusal(error.detail, error.status_code, error.headers)


def _defect(_request: Request, _error: Exception) -> JSONResponse:
    return JSONResponse({"error": "this is a defect of relayq; the server's log says more"}, 500)


def _refusal(sentence: str, status: int, headers: Mapping[str, str] | None = None) -> JSONResponse:
    # It may repeat what was asked, and that may be no text: half of a character.
    return JSONResponse({"error": sentence.encode("utf-8", "replace").decode()}, status, headers=headers)
