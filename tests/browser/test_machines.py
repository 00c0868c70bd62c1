"""Machines in the browser: they join, are paused and drained, and are lost."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
import redis
from playwright.sync_api import Browser, expect

from relayq.model import State
from tests.browser.conftest import Stage, picture
from tests.conftest import as_admin, serve_redis, wait_until


def test_an_empty_house_teaches_the_lines_to_type(stage: Stage) -> None:
    """Nobody has to look for the manual."""
    page = stage.visit()
    expect(page.locator("h1")).to_have_text("No machine has joined yet")
    expect(page.locator("main")).to_contain_text("from relayq import job")
    expect(page.locator("main")).to_contain_text("relayq worker")
    picture(page, "home-empty-1440-light")
    page.get_by_role("button", name="Add a machine").click()
    page.wait_for_url(re.compile("/add$"))


def test_a_machine_that_joins_turns_the_page_green(stage: Stage) -> None:
    """Who adds a machine sees that it has worked, where the line was copied from."""
    page = stage.visit("/add")
    page.get_by_label("Name (optional)").fill("mac-mini")
    page.get_by_role("button", name="Make the line").click()
    line = page.locator(".offer pre")
    expect(line).to_contain_text(re.compile(r"^curl -fsSL http://\S+/join \| RELAYQ_TOKEN=\S+ sh$"))
    expect(page.locator(".joining")).to_contain_text("Waiting for it to join")
    stage.fleet.start("mac-mini", slots=2, labels="mac,heavy")
    expect(page.locator(".joined")).to_contain_text("mac-mini has joined")
    expect(page.locator(".offer.done")).to_have_count(1)
    picture(page, "add-joined-1440-light")


def test_a_machine_is_paused_with_a_note_and_resumed(stage: Stage) -> None:
    """By whom, until when and why is on its card."""
    page = stage.visit()
    card = page.locator(".machine", has_text="mac-mini")
    expect(card.locator(".badge").first).to_have_text("online")
    card.get_by_role("button", name="Pause").click()
    page.get_by_label("Note (optional)").fill("a film")
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    expect(card.locator(".badge").first).to_have_text("paused")
    expect(card).to_contain_text(re.compile(r"is paused by .+ until \d\d:\d\d: a film"))
    paused = stage.client.store.workers()[1][0].paused
    assert paused is not None
    assert paused.note == "a film"
    card.get_by_role("button", name="Resume").click()
    expect(card.locator(".badge").first).to_have_text("online")


def test_a_machine_is_drained_and_tested(stage: Stage) -> None:
    """A drained machine is told from a paused one; the test is a job on it."""
    page = stage.visit("/machines/mac-mini")
    page.get_by_role("button", name="Drain").click()
    expect(page.locator(".machine .badge").first).to_have_text("drained")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".machine .badge").first).to_have_text("online")
    page.get_by_role("button", name="Test").click()
    expect(page.locator(".job.ended", has_text="test of mac-mini")).to_contain_text("succeeded")


def test_a_lost_machine_is_shown_and_its_job_runs_elsewhere(stage: Stage) -> None:
    """A pulled plug: seen on the page, first as lost contact, then as an attempt on another machine."""
    lost = stage.fleet.start("unlucky", slots=1)
    page = stage.visit()
    handle = stage.client.run("echo here; sleep 600", prefer=["unlucky"], name="a survivor")
    wait_until(lambda: handle.job().state is State.RUNNING and handle.job().worker == "unlucky", 20)
    expect(page.locator("article.running", has_text="a survivor")).to_contain_text("unlucky")
    lost.lose_power()
    card = page.locator(".machine", has_text="unlucky")
    expect(card).to_contain_text(re.compile(r"lost contact \d+ s"), timeout=30_000)
    picture(page, "home-lost-1440-light")
    row = page.locator("article.running", has_text="a survivor")
    expect(row.locator(".job-worker")).to_have_text("mac-mini", timeout=30_000)
    expect(row).to_contain_text("attempt 2")
    row.locator("a.job-title").click()
    expect(page.locator(".timeline")).to_contain_text("unlucky lost contact")
    expect(page.locator(".timeline")).to_contain_text("attempt 2 began on mac-mini")
    expect(page.get_by_role("button", name="Attempt 2")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Attempt 1").click()
    expect(page.locator(".log-lines")).to_contain_text("here")
    picture(page, "job-lost-1440-light")
    handle.cancel()


@pytest.mark.tolerates("ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY|ERR_CONNECTION_RESET")
def test_without_the_server_the_page_is_grey_and_comes_back(stage: Stage) -> None:
    """Old data is never shown as fresh, and the page says what to look at."""
    page = stage.visit()
    stage.server.end()
    expect(page.locator("#link")).to_have_text(re.compile(r"stale since \d+ s"))
    expect(page.locator("#banner")).to_contain_text("relayq server")
    assert "grayscale" in page.evaluate("getComputedStyle(document.getElementById('page')).filter")
    picture(page, "home-stale-1440-light")
    stage.server.start()
    expect(page.locator("#link")).to_have_text("live", timeout=30_000)
    expect(page.locator("#banner")).to_be_hidden()


def test_a_page_out_of_sight_lets_go_of_the_server(stage: Stage) -> None:
    """Browsers allow six connections to a server: forgotten tabs must not take them."""
    page = stage.visit()
    turn = """(hidden) => {
        Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    with page.expect_event("requestfailed", lambda request: "/api/v1/events" in request.url, timeout=20_000):
        page.evaluate(turn, True)
    expect(page.locator("#link")).to_have_text(re.compile(r"stale since \d+ s"))
    page.evaluate(turn, False)
    expect(page.locator("#link")).to_have_text("live")


def test_a_server_that_hangs_is_noticed(stage: Stage) -> None:
    """A link that is there and silent is worse than none: the connection itself never says so."""
    page = stage.visit()
    stage.server.process.send_signal(signal.SIGSTOP)
    try:
        expect(page.locator("#link")).to_have_text(re.compile(r"stale since \d+ s"), timeout=20_000)
    finally:
        stage.server.process.send_signal(signal.SIGCONT)
    expect(page.locator("#link")).to_have_text("live", timeout=30_000)


def test_without_the_broker_the_page_says_so_and_keeps_what_it_saw(browser: Browser, tmp_path: Path) -> None:
    """A broker that hangs is named as the cause, with the command that looks for more."""
    (tmp_path / "redis").mkdir()
    with serve_redis(tmp_path / "redis") as url, redis.Redis.from_url(as_admin(url)) as client:
        pid = client.info()["process_id"]
        stage = Stage(url, tmp_path, browser)
        try:
            stage.fleet.start("w")
            page = stage.visit()
            expect(page.locator(".machine")).to_contain_text("online")
            os.kill(pid, signal.SIGSTOP)
            try:
                expect(page.locator("#link")).to_have_text(re.compile(r"stale since \d+ s"), timeout=30_000)
                expect(page.locator("#banner")).to_contain_text("does not answer")
                expect(page.locator("#banner")).to_contain_text("relayq doctor")
                expect(page.locator(".machine")).to_contain_text("online")
                picture(page, "home-no-broker-1440-light")
            finally:
                os.kill(pid, signal.SIGCONT)
            expect(page.locator("#link")).to_have_text("live", timeout=30_000)
            stage.leave()
        finally:
            stage.end()
