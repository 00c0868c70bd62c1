"""A job copied as a command line or as Python asks for the same."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from relayq.cli.app import cli
from relayq.client import Client
from relayq.config import Settings
from relayq.model import JobSpec
from relayq.monitoring import as_cli, as_python
from relayq.spec import make_spec
from relayq.store.memory import MemoryStore

TYPED = [
    make_spec("echo hello; echo 'it''s' \"$HOME\""),
    make_spec(["printf", "%s\\n", "two words", "$x", "-- --on"]),
    make_spec("true", on=None, needs=["ffmpeg", "memory>=4G"], prefer=["mac"], name="a <name>", cwd="~/my folder"),
    make_spec("true", timeout=90.0, queue_timeout=5.5, retries=3, retry_delay=0.25, priority=-5, kill_grace=1.0),
    make_spec("true", on_lost="wait", freeze=False, max_losses=1, max_output_bytes=5000),
    make_spec("env", env={"TOKEN": "secret", "MODE": "x"}),
]
COMMANDS = [
    *TYPED,
    make_spec(["one word"]),
    make_spec("cat", stdin="line one\nit's line two\n"),
    make_spec(script="#!/bin/sh\necho 'a script'\n"),
]
MEDIA = [
    make_spec(kind="transcode", params={"input": "a.mov", "output": "it's.mp4", "preset": "fast"}, timeout=60),
    make_spec(kind="transcribe", params={"input": "talk.mp3", "language": "de"}),
]


@pytest.mark.parametrize("spec", TYPED, ids=lambda spec: spec.title[:20])
def test_the_command_line_asks_for_the_same(spec: JobSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed into bash, whose words then reach relayq."""
    for name, value in spec.env.items():
        monkeypatch.setenv(name, value)
    assert "secret" not in as_cli(spec)
    line = as_cli(spec).replace("relayq submit", "printf '%s\\0'", 1)
    words = subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout.decode().split("\0")[:-1]
    assert submitted(words) == spec


def test_a_script_and_input_travel_in_the_line() -> None:
    """Through pipes of the shell that it is typed into."""
    spec = make_spec("cat", stdin="it's\nhere\n")
    line = as_cli(spec).replace("relayq submit", "cat", 1).replace("--stdin ", "").partition(" -- ")[0]
    assert subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout == spec.stdin


def submitted(words: list[str], verb: Sequence[str] = ("submit",)) -> JobSpec:
    """What a verb makes of words."""
    from click.testing import CliRunner

    from relayq.cli.context import App

    store = MemoryStore()
    client = Client(Settings(broker_url="redis://nowhere"), store)
    result = CliRunner().invoke(cli, [*verb, "--queue-anyway", *words], obj=App(client))
    assert result.exit_code == 0, result.output
    return store.page()[0].spec


@pytest.mark.parametrize("spec", [*COMMANDS, *MEDIA], ids=lambda spec: spec.title[:20])
def test_the_python_asks_for_the_same(spec: JobSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands, with the names it needs."""
    import os

    for name, value in spec.env.items():
        monkeypatch.setenv(name, value)
    store = MemoryStore()
    names: dict[str, Any] = {"job": Client(Settings(broker_url="redis://nowhere"), store), "os": os}
    text = as_python(spec)
    assert "secret" not in text
    eval(text[:-1] + (", " if not text.endswith("(") else "") + "queue_anyway=True)", names)
    again = store.page()[0].spec
    # A kind adds its needs itself: to say them again changes nothing.
    assert replace(again, needs=tuple(sorted(set(again.needs)))) == replace(spec, needs=tuple(sorted(set(spec.needs))))


@pytest.mark.parametrize("spec", MEDIA, ids=lambda spec: spec.kind)
def test_kinds_have_verbs_of_their_own(spec: JobSpec) -> None:
    """Which submit and come back, as `relayq submit` does."""
    words = shlex.split(as_cli(spec))
    assert words[:3] == ["relayq", spec.kind, "--detach"]
    assert submitted([*words[3:]], verb=[spec.kind, "--detach"]) == spec


def test_quoting_is_the_shells(monkeypatch: pytest.MonkeyPatch) -> None:
    """A title with anything in it is one word."""
    monkeypatch.delenv("x", raising=False)
    assert shlex.split(as_cli(make_spec("true", name="$(reboot) `x` 'y'")))[2] == "--name=$(reboot) `x` 'y'"
