"""Every page in both themes on a phone and a desk: nothing sticks out or is hard to read, and it is there at once."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from relayq.handle import JobHandle
from tests.acceptance.conftest import Worker
from tests.browser.conftest import PHONE, WIDE, Stage, picture

AXE = Path(__file__).parent / "vendor" / "axe-4.14.1.min.js"
STATIC = Path(__file__).parents[2] / "relayq" / "server" / "static"
NO_DOCKER = "the daemon is not there"
SIZES = {"320": PHONE, "1440": WIDE}


@pytest.fixture(scope="module")
def busy(shared: Stage) -> dict[str, str]:
    """Machines and jobs of every state; the pages to look at, by name."""
    client = shared.client
    tools = shared.folder / "tools"
    tools.mkdir()
    (tools / "docker").write_text(f"#!/bin/sh\necho '{NO_DOCKER}' >&2; exit 1\n")
    (tools / "docker").chmod(0o755)
    path = {"PATH": f"{tools}:{os.environ['PATH']}"}
    mac = Worker("mac-mini", shared.folder / "mac-mini", shared.url, 2, "mac,heavy", 15.0, path)
    shared.fleet.workers["mac-mini"] = mac
    shared.fleet.start("rpi4-worker", slots=4, labels="rpi,light")
    shared.fleet.online("mac-mini")
    loud = (
        "printf '\\033[1;32mok\\033[0m \\033[33mwarning\\033[0m\\n'; seq -f 'frame %g of 20000' 400; echo Error: oh >&2"
    )
    ended = [
        client.run(loud, name="colours and numbers"),
        client.run("exit 4", name="one that fails"),
        client.run("gzip -9 --keep --verbose /var/log/" + "a-very-long-name-" * 12 + "access.log"),
    ]
    for handle in ended:
        handle.result(30)
    running: list[JobHandle] = [client.run(f"echo {n}; sleep 600", on="rpi4-worker") for n in range(2)]
    client.store.pause("mac-mini", by="anna", note="I need it for a film")
    client.run("whisper talk.mp3 --model large", on="mac-mini")
    page = shared.visit()
    expect(page.locator("article.running")).to_have_count(len(running))
    return {
        "home": "/", "job": f"/jobs/{ended[0].id}", "running": f"/jobs/{running[0].id}", "history": "/jobs",
        "submit": "/submit", "machine": "/machines/mac-mini", "add": "/add", "login": "/login",
        "nothing": "/jobs?q=zebra", "pausing": "/", "keys": "/",
    }  # fmt: skip


def settled(page: Page) -> None:
    """Wait until the page has what it shows."""
    expect(page.locator("h1").first).to_be_visible()
    expect(page.locator(".skeleton")).to_have_count(0)
    if "/login" not in page.url:
        expect(page.locator("#link")).to_have_text("live")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", SIZES)
def test_every_page_fits_and_is_accessible(stage: Stage, busy: dict[str, str], width: str, theme: str) -> None:
    """Nothing scrolls sideways; axe finds nothing serious: contrast, names, roles, focus order."""
    wrong: list[str] = []
    page = stage.visit(size=SIZES[width], theme=theme)
    for name, path in busy.items():
        page.goto(path)
        settled(page)
        if name == "pausing":
            page.locator(".machine", has_text="rpi4-worker").get_by_role("button", name="Pause").click()
        if name == "keys":
            page.keyboard.press("?")
        picture(page, f"{name}-{width}-{theme}")
        if page.evaluate("document.documentElement.scrollWidth") > SIZES[width]["width"]:
            wrong.append(f"{name} is wider than {width} px")
        wrong += [f"{name}: {said}" for said in violations(page)]
    assert not wrong, "\n".join(wrong)


def violations(page: Page) -> list[str]:
    """What axe finds that is serious."""
    page.evaluate(AXE.read_text("utf-8"))
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{it['id']} ({it['impact']}): {[node['html'][:120] for node in it['nodes'][:3]]}"
        for it in found["violations"]
        if it["impact"] in ("serious", "critical")
    ]


def test_what_was_found_and_does_not_work_is_struck_out_with_the_reason(stage: Stage, busy: dict[str, str]) -> None:
    """Who wonders why a machine is not chosen finds it on its page; the home page says only that there is something."""
    page = stage.visit("/")
    card = page.locator(".machine", has_text="mac-mini")
    expect(card.locator(".chip.label", has_text="heavy")).to_be_visible()
    expect(card.locator("summary")).to_contain_text("not work here")
    expect(card.locator("s", has_text="docker")).to_be_hidden()
    page.goto("/machines/mac-mini")
    expect(page.locator(".chip.broken", has_text="docker")).to_contain_text(NO_DOCKER)
    expect(page.locator(".chip", has_text="python")).to_contain_text(re.compile(r"python \d+\.\d+"))


def test_targets_on_a_phone_are_large_enough_to_touch(stage: Stage, busy: dict[str, str]) -> None:
    """44 px, as a finger wants."""
    page = stage.visit(size=PHONE)
    for path in (busy["home"], busy["job"], busy["submit"]):
        page.goto(path)
        settled(page)
        small = page.evaluate(
            """[...document.querySelectorAll("main button, .places a, .tools button, main select")]
            .filter((it) => it.offsetParent && it.getBoundingClientRect().height < 40)
            .map((it) => it.outerHTML.slice(0, 120))"""
        )
        assert [it for it in small if "match" not in it] == []


def test_the_keyboard_goes_everywhere(stage: Stage, busy: dict[str, str]) -> None:
    """`/`, `?`, `g` and a letter, and Tab to what can be done."""
    page = stage.visit()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("search")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    for letter, path in (("s", "/submit"), ("h", "/")):
        page.locator("body").press("g")
        page.locator("body").press(letter)
        page.wait_for_url(stage.server.url + path)
        page.evaluate("document.activeElement.blur()")
    page.keyboard.press("/")
    page.wait_for_url(stage.server.url + "/jobs")
    assert page.evaluate("document.activeElement.name") == "q"
    page.goto("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"


def test_who_wants_no_motion_gets_none(stage: Stage, busy: dict[str, str]) -> None:
    """`prefers-reduced-motion` is heard."""
    page = stage.visit()
    bar = ".bar.idle > span"
    assert page.evaluate(f"getComputedStyle(document.querySelector('{bar}')).animationName") != "none"
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(f"getComputedStyle(document.querySelector('{bar}')).animationName") == "none"


def test_the_chosen_theme_is_kept(stage: Stage, busy: dict[str, str]) -> None:
    """The choice is this browser's own, and stands before the first paint."""
    page = stage.visit()
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="dark or light").click()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == dark


def test_the_first_paint_comes_within_a_second_and_everything_is_small(stage: Stage, busy: dict[str, str]) -> None:
    """Under 150 kB for a first visit, all of it from this server."""
    page = stage.visit()
    page.evaluate("caches.keys().then((keys) => keys.forEach((key) => caches.delete(key)))")
    page.reload()
    expect(page.locator(".machine").first).to_be_visible()
    timing = json.loads(
        page.evaluate(
            """JSON.stringify({paint: performance.getEntriesByName("first-contentful-paint")[0].startTime,
            names: performance.getEntriesByType("resource").map((it) => it.name)})"""
        )
    )
    assert timing["paint"] < 1000
    assert all(name.startswith(stage.server.url) for name in timing["names"])
    assert sum(path.stat().st_size for path in STATIC.rglob("*") if path.is_file()) < 150_000


def test_every_module_is_loaded_with_the_page(stage: Stage) -> None:
    """One that is missing from the list in the head would be fetched late, one round trip after another."""
    listed = (STATIC / "index.html").read_text("utf-8")
    for path in (STATIC / "js").glob("*.js"):
        assert path.name == "login.js" or f"/static/js/{path.name}" in listed, path.name
