"""The dashboard's files: one shell for all of its addresses, and what that loads."""

from __future__ import annotations

from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

STATIC = Path(__file__).parent / "static"
#: Where the shell is the page: the rest of the address is its own affair.
PAGES = ("/", "/jobs", "/jobs/{id}", "/submit", "/machines/{name}", "/add")


def page_routes() -> list[BaseRoute]:
    """The routes."""
    shells: list[BaseRoute] = [Route(path, _shell) for path in PAGES]
    icon = Route("/favicon.ico", _icon)  # what browsers ask for on a page that names none
    return [*shells, icon, Mount("/static", StaticFiles(directory=STATIC))]


def page(name: str, status: int = 200) -> FileResponse:
    """One of the files."""
    if not (STATIC / name).is_file():
        raise HTTPException(404, "this installation has no dashboard: install relayq from its wheel")
    return FileResponse(STATIC / name, status)


async def _icon(_request: Request) -> FileResponse:
    return page("icon.svg")


async def _shell(_request: Request) -> FileResponse:
    return page("index.html")
