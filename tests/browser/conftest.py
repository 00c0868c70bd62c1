"""A real browser before the real server and real workers; whatever the browser complains of fails the test."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from relayq.client import Client
from tests.acceptance.conftest import Fleet
from tests.server.conftest import Server

#: Pictures of every page are left here.
PICTURES = Path(__file__).parents[2] / "build" / "browser"
WIDE = {"width": 1440, "height": 900}
PHONE = {"width": 320, "height": 640}

expect.set_options(timeout=15_000)


class Stage:
    """A broker, its server, its machines, and visitors."""

    def __init__(self, url: str, folder: Path, browser: Browser) -> None:
        self.url = url
        self.folder = folder
        self.server = Server(url, folder / "server")
        self.fleet = Fleet(url, folder)
        self._browser = browser
        self._visits: list[tuple[BrowserContext, list[str]]] = []

    @property
    def client(self) -> Client:
        """Of the same broker, in Python."""
        return self.fleet.client

    def visit(
        self, path: str = "/", *, size: dict[str, int] = WIDE, theme: str = "light", signed_in: bool = True,
        read_only: bool = False,
    ) -> Page:  # fmt: skip
        """A browser of its own that has opened a page, signed in by a one-time link."""
        context = self._browser.new_context(
            viewport=size, color_scheme=theme, base_url=self.server.url, timezone_id="UTC", locale="en-GB"
        )
        context.set_default_timeout(15_000)
        page = context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
        page.on("console", lambda said: said.type == "error" and complaints.append(f"{page.url}: {said.text}"))
        page.on("dialog", lambda dialog: complaints.append(f"{page.url}: a dialog says {dialog.message}"))
        self._visits.append((context, complaints))
        if signed_in:
            page.goto(self.way_in(read_only=read_only))
            page.wait_for_url(f"{self.server.url}/")
        page.goto(path)
        if signed_in:
            expect(page.locator("#link")).to_have_text("live")
        return page

    def way_in(self, *, read_only: bool = False) -> str:
        """A one-time link, as `relayq dashboard` makes it."""
        from relayq.store.access import Scope

        return f"{self.server.url}/login?code={self.server.access.new_code(Scope.READ if read_only else Scope.FULL)}"

    def leave(self, tolerated: str | None = None) -> None:
        """Every visitor goes; none may have met an error but those a test expects."""
        complaints = [said for _, heard in self._visits for said in heard]
        for context, _ in self._visits:
            context.close()
        self._visits.clear()
        assert not [said for said in complaints if not (tolerated and re.search(tolerated, said))], complaints

    def end(self) -> None:
        """Everything."""
        for worker in self.fleet.workers.values():
            worker.end()
        self.fleet.client.store.close()
        self.server.end()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; only as long as a file needs it, because its driver has an event loop in this thread."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        what = "no Chromium here. On Debian: sudo apt install chromium"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(what)
    with sync_playwright() as started:
        # Root has no sandbox, and containers little shared memory; the pages are our own.
        launched = started.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def shared(
    redis_server: str, admin: redis.Redis, tmp_path_factory: pytest.TempPathFactory, browser: Browser
) -> Iterator[Stage]:
    """The stage of a whole file, without machines at first."""
    admin.flushall()
    stage = Stage(redis_server, tmp_path_factory.mktemp("stage"), browser)
    yield stage
    stage.end()


@pytest.fixture
def stage(shared: Stage, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The same, for one test: its visitors leave, and none may have met an error (marker `tolerates`: but these)."""
    yield shared
    marker = request.node.get_closest_marker("tolerates")
    shared.leave(marker.args[0] if marker else None)


def picture(page: Page, name: str) -> None:
    """Leave a picture of the whole page."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)
