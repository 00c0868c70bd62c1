"""Jobs in the browser: submitted, watched, searched, cancelled, run again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from relayq.model import State
from tests.browser.conftest import PHONE, Stage
from tests.conftest import wait_until


@pytest.fixture(scope="module", autouse=True)
def machines(shared: Stage) -> None:
    """Two machines that all tests of this file share."""
    shared.fleet.start("mac-mini", slots=2, labels="mac,heavy", wait=False)
    shared.fleet.start("rpi4-worker", slots=4, labels="rpi,light")
    shared.fleet.online("mac-mini")


def log(page: Page) -> str:
    """The lines in sight."""
    return page.locator(".log-lines").inner_text()


def test_a_job_submitted_on_the_page_shows_its_log_as_it_runs(stage: Stage, tmp_path: Path) -> None:
    """The first thing anybody does here."""
    gate = tmp_path / "gate"
    page = stage.visit("/submit")
    page.get_by_label("Command").fill(f"echo first; while [ ! -e {gate} ]; do sleep 0.1; done; echo second; exit 3")
    page.get_by_label("Machine", exact=True).select_option("rpi4-worker")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url(re.compile(r"/jobs/\w+"))
    expect(page.locator(".log-lines")).to_contain_text("first")
    assert "second" not in log(page)
    expect(page.locator(".job-head .badge")).to_have_text("running")
    gate.touch()
    expect(page.locator(".log-lines")).to_contain_text("second")
    expect(page.locator(".job-head .badge")).to_have_text("exit 3")
    expect(page.locator(".timeline")).to_contain_text("exit code 3")
    expect(page.locator(".spec")).to_contain_text("rpi4-worker")


def test_output_without_end_costs_no_more_than_a_screenful(stage: Stage) -> None:
    """A page that keeps an element for each line would end the browser."""
    handle = stage.client.run("seq 1 60000; echo over")
    page = stage.visit(f"/jobs/{handle.id}")
    expect(page.locator(".log-lines")).to_contain_text("over", timeout=30_000)
    pane = page.locator(".log-pane")
    assert int(pane.get_attribute("data-lines") or 0) > 50_000
    assert page.locator(".log-line").count() < 150
    assert page.locator(".log-line").last.inner_text().endswith("over"), "it follows by itself"
    pane.hover()
    page.mouse.wheel(0, -4000)
    expect(page.get_by_label("Follow")).not_to_be_checked()
    expect(page.locator(".log-line", has_text="over")).to_have_count(0)
    page.get_by_label("Follow").check()
    expect(page.locator(".log-line", has_text="over")).to_have_count(1)


def test_the_log_is_searched_coloured_told_apart_and_jumps_to_errors(stage: Stage) -> None:
    """The pane does what a terminal does, and what one cannot."""
    lines = (
        "printf '\\033[31mred\\033[0m plain\\n'; seq -f 'line %g' 300; echo oh no >&2; echo Error: it broke; seq 300"
    )
    handle = stage.client.run(lines)
    handle.result(30)
    page = stage.visit(f"/jobs/{handle.id}")
    expect(page.locator(".log-pane")).to_have_attribute("data-lines", "603")
    page.keyboard.press("/")
    page.keyboard.type("line 123")
    expect(page.locator(".log-count")).to_have_text("1 of 603 lines fit")
    expect(page.locator(".log mark")).to_have_text("line 123")
    page.get_by_label("search the log").fill("red plain")
    expect(page.locator(".log-line.here")).to_contain_text("red plain")
    page.get_by_label("search the log").fill("")
    expect(page.locator(".fg-1")).to_have_text("red")
    page.get_by_text("stderr", exact=True).click()
    expect(page.locator(".log-pane")).to_have_attribute("data-lines", "1")
    expect(page.locator(".log-lines")).to_contain_text("oh no")
    page.get_by_text("stdout", exact=True).click()
    expect(page.locator(".log-pane")).to_have_attribute("data-lines", "602")
    page.get_by_role("button", name="Next error").click()
    expect(page.locator(".log-line.here")).to_contain_text("Error: it broke")
    with page.expect_download() as coming:
        page.get_by_role("link", name="Download").click()
    assert coming.value.path().read_bytes().startswith(b"\x1b[31mred\x1b[0m plain\nline 1\n")


def test_a_running_job_is_cancelled_after_a_question(stage: Stage) -> None:
    """One touch of a wrong button must not end hours of work."""
    handle = stage.client.run("echo there; sleep 600", name="a long one")
    page = stage.visit("/", size=PHONE)
    row = page.locator("article.running", has_text="a long one")
    row.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Back").click()
    assert handle.job().state in (State.RUNNING, State.QUEUED)
    row.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the job").click()
    expect(row).to_have_count(0)
    wait_until(lambda: handle.job().state is State.CANCELLED)
    expect(page.locator("article.ended", has_text="a long one")).to_contain_text("cancelled")


def test_a_waiting_job_says_why_and_runs_elsewhere(stage: Stage) -> None:
    """Every wait is explained, with a way out."""
    stage.client.store.pause("mac-mini", by="anna")
    try:
        stage.client.run("echo elsewhere", on="mac-mini", name="pinned")
        page = stage.visit()
        row = page.locator("article.waiting", has_text="pinned")
        expect(row).to_contain_text("Waits for mac-mini, which is paused by anna")
        row.get_by_role("button", name=re.compile("Run on rpi4-worker")).click()
        done = page.locator("article.ended", has_text="pinned").filter(has_text="succeeded")
        expect(done).to_contain_text("rpi4-worker")
    finally:
        stage.client.store.resume("mac-mini")


def test_a_job_runs_again_and_is_copied_as_command_and_python(stage: Stage) -> None:
    """What was done here can be done there."""
    handle = stage.client.run(["echo", "it's"], env={"SECRET": "hidden-value"}, priority=3)
    handle.result(30)
    page = stage.visit(f"/jobs/{handle.id}")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    expect(page.locator(".spec")).to_contain_text("SECRET")
    assert "hidden-value" not in page.content()
    page.get_by_role("button", name="Copy as command").click()
    wait_until(lambda: page.evaluate("navigator.clipboard.readText()").startswith("relayq "))
    page.get_by_role("button", name="Copy as Python").click()
    wait_until(lambda: "job.run(" in page.evaluate("navigator.clipboard.readText()"))
    page.get_by_role("button", name="Run again").click()
    page.wait_for_url(re.compile(rf"/jobs/(?!{handle.id})\w+"))
    expect(page.locator(".facts")).to_contain_text(f"again from {handle.id}")
    expect(page.locator(".job-head .badge")).to_have_text("succeeded")


@pytest.mark.tolerates("4[0-9][0-9]")
def test_a_refused_job_is_refused_in_a_sentence(stage: Stage) -> None:
    """A typing mistake is said beside the form, which keeps what was typed."""
    page = stage.visit("/submit")
    page.get_by_label("Command").fill("echo x")
    page.get_by_label("Needs").fill("no-such-thing")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator(".refusal")).to_contain_text("no-such-thing")
    expect(page.get_by_label("Command")).to_have_value("echo x")


def test_the_history_is_searched_by_its_address_and_paged(stage: Stage) -> None:
    """A search can be kept, sent and gone back from."""
    for handle in [stage.client.run(f"echo needle-{n}") for n in range(53)]:
        handle.result(30)
    stage.client.run("exit 7", name="odd one").result(30)
    page = stage.visit("/jobs?q=needle")
    expect(page.locator(".jobs > li")).to_have_count(50)
    page.get_by_role("link", name="Older").click()
    expect(page.locator(".jobs > li")).to_have_count(3)
    assert "after=" in page.url
    page.go_back()
    expect(page.locator(".jobs > li")).to_have_count(50)
    page.keyboard.press("g")
    page.keyboard.press("j")
    page.keyboard.press("/")
    page.keyboard.type("odd")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("q=odd"))
    expect(page.locator(".jobs > li")).to_have_count(1)
    page.get_by_label("Text").fill("")
    page.get_by_label("Exit code").fill("7")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".jobs > li")).to_have_count(1)
    page.get_by_label("State").select_option("succeeded")
    expect(page.get_by_text("Nothing found")).to_be_visible()
