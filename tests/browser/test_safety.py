"""Nobody gets in uninvited, nothing is changed by others' pages, and what jobs print stays text."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from playwright.sync_api import expect

from relayq.store.access import Scope
from tests.browser.conftest import Stage

#: Each would run something, or break the page, if it ever became more than text.
ATTACKS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    '"><svg onload=alert(3)>',
    "javascript:alert(4)",
    "{{constructor.constructor('alert(5)')()}}",
)


@pytest.fixture(scope="module", autouse=True)
def machine(shared: Stage) -> None:
    """One machine."""
    shared.fleet.start("w", slots=2)


@pytest.mark.tolerates("403")
def test_a_wrong_token_is_refused_and_a_right_one_opens(stage: Stage) -> None:
    """Who has no token stays at the door."""
    page = stage.visit("/jobs?q=what+I+wanted", signed_in=False)
    page.wait_for_url(re.compile("/login"))
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#refusal")).to_contain_text("relayq dashboard")
    page.get_by_label("Token").fill(stage.server.access.new_token("me", Scope.FULL).secret)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(re.compile(r"/jobs\?q=what\+I\+wanted$"))
    expect(page.get_by_label("Text")).to_have_value("what I wanted")
    expect(page.locator("#link")).to_have_text("live")
    page.get_by_role("button", name="log out").click()
    page.wait_for_url(re.compile("/login"))
    page.goto("/")
    page.wait_for_url(re.compile("/login"))


def test_the_login_leads_to_no_other_site(stage: Stage) -> None:
    """A link to our login must not become one to somebody else's page."""
    for number, elsewhere in enumerate(
        ("https://example.org/", "//example.org/", "javascript:alert(1)", "/\\\\example.org")
    ):
        page = stage.visit(f"/login?next={elsewhere}", signed_in=False)
        page.get_by_label("Token").fill(stage.server.access.new_token(f"t{number}", Scope.FULL).secret)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"{stage.server.url}/")


@pytest.mark.tolerates("403")
def test_a_link_opens_once(stage: Stage) -> None:
    """A link that was seen over a shoulder is worth nothing."""
    link = stage.way_in()
    page = stage.visit("/login", signed_in=False)
    page.goto(link)
    page.wait_for_url(f"{stage.server.url}/")
    other = stage.visit("/login", signed_in=False)
    other.goto(link)
    expect(other.locator("#refusal")).to_contain_text("used up")


def test_relayq_dashboard_prints_a_link_that_opens(stage: Stage) -> None:
    """The way in for who sits at the broker's machine."""
    argv = [sys.executable, "-m", "relayq", "dashboard", "--print"]
    printed = subprocess.run(argv, env=stage.server.env, capture_output=True, text=True, check=True).stdout.strip()
    page = stage.visit("/login", signed_in=False)
    page.goto(re.sub(r"//[^/]+/", f"//{stage.server.url.partition('//')[2]}/", printed))
    page.wait_for_url(f"{stage.server.url}/")
    expect(page.locator("#link")).to_have_text("live")


@pytest.mark.tolerates("403|429")
def test_who_guesses_has_to_wait(stage: Stage) -> None:
    """Nobody tries tokens for long, and the page says how long to wait."""
    page = stage.visit("/login", signed_in=False)
    for number in range(6):
        page.get_by_label("Token").fill(f"guess {number}")
        with page.expect_response("**/login"):
            page.get_by_role("button", name="Log in").click()
    expect(page.locator("#refusal")).to_contain_text(re.compile(r"too many wrong tokens.* in \d+ s"))
    stage.server.end()  # which remembers it
    stage.server.start()


@pytest.mark.tolerates("40[0-9]")
def test_a_write_without_the_pages_own_mark_is_refused(stage: Stage) -> None:
    """The cookie alone, which a browser adds to any request, changes nothing."""
    page = stage.visit()
    answer = page.evaluate(
        """async () => {
            const send = (headers) => fetch("/api/v1/jobs", {method: "POST", body: '{"command": "echo forged"}',
                headers: {"Content-Type": "application/json", ...headers}});
            const answers = [await send({}), await send({"X-CSRF-Token": "guessed"})];
            return Promise.all(answers.map(async (it) => [it.status, (await it.json()).error]));
        }"""
    )
    assert [status for status, _ in answer] == [403, 403], answer
    assert "X-CSRF-Token" in answer[0][1]
    assert not [job for job in stage.client.store.page() if job.spec.command == "echo forged"]


def test_who_may_only_look_finds_no_button_that_works(stage: Stage) -> None:
    """A read-only session says so, instead of failing later."""
    page = stage.visit(read_only=True)
    expect(page.locator(".machine").get_by_role("button", name="Pause")).to_be_disabled()
    page.goto("/submit")
    expect(page.locator("form").get_by_role("button", name="Submit")).to_be_disabled()


@pytest.mark.parametrize("where", ["/", "/jobs", "job", "machine"])
def test_what_jobs_are_called_and_print_stays_text(stage: Stage, where: str) -> None:
    """Every attack is seen as it was written, and none runs (a dialog or a script error fails the test)."""
    handles = [stage.client.run(["printf", "%s\\n", attack], name=attack) for attack in ATTACKS]
    for handle in handles:
        assert handle.result(30).exit_code == 0
    for handle, attack in zip(handles, ATTACKS, strict=True):
        page = stage.visit({"job": f"/jobs/{handle.id}", "machine": "/machines/w"}.get(where, where))
        expect(page.locator("main")).to_contain_text(attack)
        if where == "job":
            expect(page.locator(".log-lines")).to_contain_text(attack)
            assert attack in page.title()
        assert page.locator("main script, main img, main [onerror], main [onload]").count() == 0
        if where != "job":
            break


def test_control_sequences_and_overrides_in_output_are_harmless(stage: Stage) -> None:
    """Output can neither clear the pane, nor set a title, nor turn the text around it about."""
    handle = stage.client.run("printf 'a\\033[2Jb\\033]0;title\\007c\\342\\200\\256d\\n'")
    handle.result(30)
    page = stage.visit(f"/jobs/{handle.id}")
    expect(page.locator(".log-text").first).to_have_text("abc\ufffdd")


def test_output_that_is_no_text_is_shown_without_harm(stage: Stage) -> None:
    """Somebody will print a film to the log."""
    handle = stage.client.run("head -c 200000 /dev/urandom; printf '\\nover\\n'")
    handle.result(30)
    page = stage.visit(f"/jobs/{handle.id}")
    expect(page.locator(".log-lines")).to_contain_text("over")
    page.get_by_role("button", name="match before").click()
    page.locator(".log-pane").evaluate("(pane) => { pane.scrollTop = 0; }")
    expect(page.locator(".log-line").first.locator(".log-number")).to_have_attribute("data-number", "1")
    text = page.locator(".log-lines").inner_text()
    assert not [c for c in text if ord(c) < 32 and c not in "\n\t"]


def test_the_policy_forbids_what_is_inline(stage: Stage) -> None:
    """Were there a hole, the browser itself would refuse."""
    page = stage.visit()
    response = page.request.get("/")
    policy = response.headers["content-security-policy"]
    assert "unsafe-inline" not in policy
    assert "unsafe-eval" not in policy
    assert not re.search(r"<script>|<style|\sstyle=|\son\w+=", response.text())
