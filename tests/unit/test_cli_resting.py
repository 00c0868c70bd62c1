"""Pause, drain, resume."""

from __future__ import annotations

import pytest

from tests.unit.cli import Line


@pytest.fixture
def line() -> Line:
    """A command line with one worker."""
    line = Line()
    line.worker()
    return line


def test_a_pause_shows_wherever_the_worker_does(line: Line) -> None:
    """With who asked for it, until when and why; and in what waits for it."""
    result = line("pause", "mac-mini", "--for", "1h", "--note", "backup")
    assert result.exit_code == 0
    assert "mac-mini is paused by" in result.stderr
    assert ": backup" in result.stderr
    worker = line.json("workers")["mac-mini"]
    assert (worker["state"], worker["why"].endswith(": backup")) == ("paused", True)
    line.submit("a", on="mac-mini")
    assert "a waits for mac-mini, which is paused by" in line("explain", "a").stdout
    assert "paused" in line("status").stdout
    line.now += 3601
    assert line.json("workers")["mac-mini"]["state"] != "paused"


def test_resume_ends_a_pause(line: Line) -> None:
    """Also one without an end."""
    assert line.json("pause", "mac-mini")["state"] == "paused"
    assert line.json("resume", "mac-mini")["state"] == "online"


def test_drain_waits_for_what_runs(line: Line) -> None:
    """So that a machine can be switched off; 1 if something still runs after that time."""
    line.submit("a")
    held = line.claim()
    result = line("drain", "mac-mini", "--wait", "0.3")
    assert result.exit_code == 1
    assert line.json("workers")["mac-mini"]["state"] == "draining"
    assert result.stderr.endswith("; 1 job runs there\n")
    line.finish(held)
    done = line("drain", "mac-mini", "--wait", "5")
    assert (done.exit_code, done.stderr.endswith("; 0 jobs run there\n")) == (0, True)
    assert line.json("workers")["mac-mini"]["state"] == "drained"


@pytest.mark.parametrize("verb", ["pause", "drain", "resume"])
def test_an_unknown_worker_is_said_to_be_unknown(line: Line, verb: str) -> None:
    """A typing error must not look like a success."""
    result = line(verb, "mac-mimi")
    assert result.exit_code != 0
    assert 'no worker is called "mac-mimi"' in result.stderr
