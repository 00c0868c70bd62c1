"""Signing in and out: with a token, or the one-time link of `relayq dashboard`."""

from __future__ import annotations

import time
from collections import OrderedDict

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

import relayq
from relayq.config import mask
from relayq.server.doors import cookie_name
from relayq.server.pages import page
from relayq.server.tools import CallerOf, ToolsOf
from relayq.store.access import SESSION_SECONDS, Session

WRONG = 5  #: wrong tokens an address may try …
WITHIN = 60.0  #: … in so many seconds
_ADDRESSES = 1000

router = APIRouter()

#: Loaded as a page of ours before the first request with the cookie, which is for our own pages only.
_WELCOME = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/"><title>relayq</title>'


class Guesses:
    """Counts wrong tokens by address, so that nobody guesses for long."""

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()

    def wait(self, address: str, now: float) -> float:
        """Seconds until this address may try again."""
        recent = [at for at in self._wrong.get(address, ()) if now - at < WITHIN]
        return recent[-WRONG] + WITHIN - now if len(recent) >= WRONG else 0.0

    def note(self, address: str, now: float) -> None:
        """It was wrong."""
        recent = [at for at in self._wrong.pop(address, ()) if now - at < WITHIN]
        self._wrong[address] = [*recent[-WRONG + 1 :], now]
        while len(self._wrong) > _ADDRESSES:
            self._wrong.popitem(last=False)


class SignIn(BaseModel):
    """What is shown to be let in."""

    model_config = ConfigDict(extra="forbid")
    token: str = Field(min_length=1, max_length=200)


class SessionRow(BaseModel):
    """What a page has to know of its session."""

    version: str
    csrf: str | None = Field(description="for the header X-CSRF-Token of every write; null with a token")
    read_only: bool
    broker: str | None = Field(description="its URL, password masked")


@router.post("/login", status_code=204, response_class=Response, include_in_schema=False)
async def sign_in(asked: SignIn, request: Request, tools: ToolsOf) -> Response:
    """Open a session with a token."""
    return await _signed_in(request, tools, code=None, token=asked.token)


@router.get("/login", include_in_schema=False)
async def login_page(request: Request, tools: ToolsOf, code: str | None = None) -> Response:
    """The page, or with a one-time code the session."""
    if code is None:
        return page("login.html")
    return await _signed_in(request, tools, code=code, token=None)


@router.post("/logout", status_code=204, response_class=Response, include_in_schema=False)
def sign_out(request: Request, tools: ToolsOf, caller: CallerOf) -> Response:
    """End the session."""
    answer = Response(status_code=204)
    if caller.session is not None:
        tools.doors.access.close_session(caller.session)
        tools.doors.forget(caller.session)
        answer.delete_cookie(cookie_name(request), path="/", httponly=True, samesite="strict")
    return answer


@router.get("/api/v1/session", tags=["session"])
def session(tools: ToolsOf, caller: CallerOf) -> SessionRow:
    """Who I am here."""
    url = tools.settings.broker_url
    return SessionRow(
        version=relayq.__version__,
        csrf=caller.session.csrf if caller.session else None,
        read_only=caller.read_only,
        broker=url and mask(url),
    )


async def _signed_in(request: Request, tools: ToolsOf, *, code: str | None, token: str | None) -> Response:
    guesses: Guesses = request.app.state.guesses
    address = request.client.host if request.client else ""
    seconds = guesses.wait(address, time.monotonic())
    if seconds > 0:
        text = f"too many wrong tokens from {address}. Try again in {seconds:.0f} s"
        return JSONResponse({"error": text}, 429, headers={"Retry-After": f"{seconds:.0f}"})
    if code is not None:
        opened = await run_in_threadpool(tools.doors.sign_in_once, code)
    else:
        opened = await run_in_threadpool(tools.doors.sign_in, token or "")
    if opened is None:
        guesses.note(address, time.monotonic())
        if code is not None:
            return page("login.html", 403)
        return JSONResponse(
            {"error": "no such token. Make a new way in on the broker's machine: relayq dashboard"}, 403
        )
    answer: Response = HTMLResponse(_WELCOME) if code is not None else Response(status_code=204)
    _set_cookie(answer, request, opened)
    return answer


def _set_cookie(answer: Response, request: Request, opened: Session) -> None:
    answer.set_cookie(
        cookie_name(request),
        opened.secret,
        max_age=int(SESSION_SECONDS),
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
