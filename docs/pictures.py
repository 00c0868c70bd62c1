"""Makes the pictures of MONITORING.md: the real pages of a real server, with real workers that run real jobs.

Needs what tests/browser needs: .venv/bin/python docs/pictures.py
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from relayq.model import State  # noqa: E402
from relayq.terminal.app import Top  # noqa: E402
from tests.browser.conftest import Stage  # noqa: E402
from tests.conftest import serve_redis, wait_until  # noqa: E402

PICTURES = HERE / "pictures"
DESK = {"width": 1180, "height": 760}
PHONE = {"width": 360, "height": 720}

FILM = r"""
i=0; echo "Stream #0:0 Video: hevc, 3840x2160, 23.98 fps"
while [ $i -lt 900 ]; do
    i=$((i + 1)); echo "frame=$((i * 24)) fps=142 q=28.0 size=$((i * 310))kB speed=5.9x"
    echo "::progress $i/900 142 fps"; sleep 0.1
done
"""
TESTS = r"""
printf 'collected 214 items\n\n\033[32mtests/test_lease.py ........................\033[0m\n'
printf 'tests/test_ring.py \033[32m.......\033[31mF\033[0m\n\n'
printf '\033[1;31mE       AssertionError: the ring came twice\033[0m\n' >&2
printf '\033[31m1 failed\033[0m, \033[32m213 passed\033[0m in 4.11s\n'; exit 1
"""
REPORT = r"""
echo "queries  blocked  client"; n=0
while [ $n -lt 12 ]; do n=$((n + 1)); echo "$((n * 731))     $((n * 97))      192.168.1.$((20 + n))"; done
"""


def main() -> None:
    """Write them all."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        browser = started.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        with serve_redis(Path(folder)) as url:
            stage = Stage(url, Path(folder), browser)
            try:
                take(stage, browser)
            finally:
                stage.end()
        browser.close()


def take(stage: Stage, browser: Browser) -> None:
    """Set the scene, and look at it from all sides."""
    run, fleet = stage.client.run, stage.fleet
    fleet.start("mac-mini", slots=2, labels="mac,heavy", wait=False)
    fleet.start("rpi4-worker", slots=4, labels="rpi,light", wait=False)
    fleet.start("nas", slots=2, labels="files", wait=False)
    for name in fleet.workers:
        fleet.online(name)
    run("echo hello from $(hostname)", on="rpi4-worker").result(30)
    run(REPORT, on="rpi4-worker", name="pihole report --yesterday").result(30)
    failed = run(TESTS, on="mac-mini", name="make test")
    failed.result(30)
    run("gzip -9 --keep /etc/services -c > /dev/null", on="nas").result(30)
    film = run(FILM, on="mac-mini", name="ffmpeg -i holiday.mov -c:v hevc_videotoolbox holiday.mp4")
    run("while sleep 5; do date; done", on="rpi4-worker", name="python monitor.py")
    stage.client.store.pause("nas", seconds=3 * 3600, by="anna@laptop", note="a film is on")
    run("rsync -a ~/photos/ /volume1/photos/", on="nas")
    wait_until(lambda: (film.info.get("progress") or 0) > 0.1, 60)

    page = stage.visit("/", size=DESK)
    expect(page.locator("article.running")).to_have_count(2)
    keep(page, "home")
    page.goto(f"/jobs/{film.id}")
    expect(page.locator(".log-lines")).to_contain_text("frame=")
    keep(page, "job")
    page.goto(f"/jobs/{failed.id}")
    expect(page.locator(".log-lines")).to_contain_text("the ring came twice")
    page.get_by_role("button", name="Next error").click()
    keep(page, "failed")
    page.goto("/jobs?worker=rpi4-worker")
    expect(page.locator(".jobs > li")).to_have_count(3)
    keep(page, "history")
    page.goto("/add")
    page.get_by_role("button", name="Make the line").click()
    expect(page.locator(".offer")).to_be_visible()
    keep(page, "add")

    phone = stage.visit("/", size=PHONE, theme="dark")
    expect(phone.locator("article.running")).to_have_count(2)
    phone.screenshot(path=PICTURES / "phone.png")
    keep_terminal(stage, browser)

    fleet.workers["mac-mini"].lose_power()
    page.goto("/")
    expect(page.locator(".machine", has_text="mac-mini")).to_contain_text("lost contact", timeout=30_000)
    keep(page, "lost")
    for job in stage.client.store.page(states=[State.RUNNING, State.QUEUED]):
        stage.client.store.cancel(job.id)


def keep(page: Page, name: str) -> None:
    """The page as it is, without waiting for fades."""
    page.emulate_media(reduced_motion="reduce")
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


def keep_terminal(stage: Stage, browser: Browser) -> None:
    """`relayq top`, as Textual draws it."""

    async def look() -> str:
        top = Top(stage.client.store, stage.url, "anna@laptop")
        async with top.run_test(size=(120, 30)) as pilot:
            give_up_at = time.monotonic() + 20
            while top.query_one("#running").row_count < 2:  # type: ignore[attr-defined]
                assert time.monotonic() < give_up_at
                await pilot.pause(0.1)
            await pilot.pause(1.0)
            return top.export_screenshot(title="relayq top")

    import threading

    drawn: list[str] = []
    thread = threading.Thread(target=lambda: drawn.append(asyncio.run(look())))  # Playwright has this thread's loop
    thread.start()
    thread.join()
    page = browser.new_page(viewport={"width": 1180, "height": 620})
    page.set_content(f"<body style='margin:0'>{drawn[0]}</body>")
    page.locator("svg").screenshot(path=PICTURES / "top.png", omit_background=True)
    page.close()


if __name__ == "__main__":
    main()
