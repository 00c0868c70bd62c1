"""Rules that send commands to machines: by the first word, never further."""

from __future__ import annotations

from typing import Any

import pytest

from relayq.model import JobSpec
from relayq.placement import Rule
from relayq.routes import PROGRAMS, SHIPPED, first_word, lane_of, rule_for


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("ffmpeg -i a b", "ffmpeg"),
        ("  ffmpeg", "ffmpeg"),
        ("ffmpeg;ls", "ffmpeg"),
        ("LANG=C B='x y' /usr/bin/ffmpeg -i a", "/usr/bin/ffmpeg"),
        ('"ffmpeg" -i a', "ffmpeg"),
        ("cd /videos && ffmpeg -i a b", "cd"),
        ("echo ffmpeg", "echo"),
        ("'not closed", None),
        ("", None),
        (("/opt/my ffmpeg/ffmpeg", "-i"), "/opt/my ffmpeg/ffmpeg"),
        ((), None),
    ],
)
def test_the_first_word_is_the_program(command: Any, word: str | None) -> None:
    """As the shell sees it; of an argv its first."""
    assert first_word(JobSpec(command=command)) == word


def test_a_script_has_no_first_word_and_a_kind_is_its_own() -> None:
    """Nobody knows what a script will call."""
    assert lane_of(JobSpec(script="#!/bin/sh\nffmpeg -i a b")) == "any"
    assert lane_of(JobSpec(kind="transcode", needs=("ffmpeg",))) == "needs:ffmpeg first:heavy"


def test_shipped_rules_send_heavy_programs_to_machines_that_have_them_labelled_heavy_first() -> None:
    """All else goes anywhere."""
    assert lane_of(JobSpec(command="ffmpeg -i a b")) == "with:ffmpeg first:heavy"
    assert lane_of(JobSpec(command=("/usr/local/bin/HandBrakeCLI", "-i"))) == "with:HandBrakeCLI first:heavy"
    assert lane_of(JobSpec(command="grep ffmpeg log")) == "any"
    for name, words in SHIPPED.items():
        assert rule_for(JobSpec(command=name), {}) == Rule(tuple(w for w in words if w != "heavy"), ("heavy",))


def test_who_names_a_machine_or_a_need_is_not_advised_about_it() -> None:
    """A rule adds only what was not said."""
    assert lane_of(JobSpec(command="ffmpeg", on="rpi4")) == "on:rpi4"
    assert lane_of(JobSpec(command="ffmpeg", needs=("heavy", "ffmpeg"))) == "needs:ffmpeg+heavy"
    assert lane_of(JobSpec(command="ffmpeg", needs=("ffmpeg",))) == "needs:ffmpeg first:heavy"


def test_own_rules_come_before_the_shipped_ones_and_may_take_them_away() -> None:
    """The first pattern that fits counts."""
    own = {"render*": ("blender", "my-farm", "memory>=8G"), "ffmpeg": (), "my-tool": ("my-tool", "heavy")}
    assert lane_of(JobSpec(command="ffmpeg"), own) == "any"
    assert lane_of(JobSpec(command="render-it"), own) == "with:blender+memory>=8G first:my-farm"
    assert lane_of(JobSpec(command="my-tool x"), own) == "with:my-tool first:heavy"
    assert lane_of(JobSpec(command="whisper"), own) == "with:whisper first:heavy"


def test_what_rules_name_is_looked_for_on_every_machine() -> None:
    """Or a rule would never find a machine that has its program."""
    from relayq.probes import programs

    looked_for = {*programs.PROGRAMS, "ffmpeg", "docker", "python"}
    assert looked_for >= PROGRAMS
