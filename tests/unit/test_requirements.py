"""What may be needed of a machine, and what a machine says it lacks."""

from __future__ import annotations

import pytest

from relayq.errors import BadSpec
from relayq.model import Capability, WorkerInfo
from relayq.requirements import has, missing, trouble, version
from relayq.spec import make_spec

RPI = WorkerInfo(
    name="rpi4-worker",
    identity="r",
    incarnation="i",
    slots=4,
    labels=("rpi", "light"),
    capabilities=("ffmpeg", "encoder:libx264", "python", "sox", "arch:arm64", "arch:aarch64", "os:linux"),
    found=(
        Capability(name="ffmpeg", version="5.1.9-0+deb12u1"),
        Capability(name="encoder:libx264"),
        Capability(name="encoder:h264_v4l2m2m", works=False, why_not="Could not find a valid device"),
        Capability(name="python", version="3.11.2"),
        Capability(name="sox"),
    ),
    facts={"cores": 4, "memory": 4 << 30, "disk": 30 << 30, "disk_free": 12 << 30},
)


@pytest.mark.parametrize(
    "word",
    [
        "rpi", "ffmpeg", "encoder:libx264", "arch:arm64", "arch:aarch64", "memory>=4G", "memory>=4000M", "cores>=4",
        "disk_free>=12G", "ffmpeg>=5", "ffmpeg>=5.1.9", "python>=3.9", "python>=3.11.2",
    ],
)  # fmt: skip
def test_a_machine_has_what_it_is_what_it_was_given_and_what_works_there(word: str) -> None:
    """Labels, capabilities, sizes and versions."""
    assert trouble(word) is None
    assert has(RPI, word)
    assert missing(RPI, [word]) is None


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["heavy"], 'lacks "heavy"'),
        (["encoder:hevc_videotoolbox"], "lacks encoder hevc_videotoolbox"),
        (["encoder:h264_v4l2m2m"], "lacks encoder h264_v4l2m2m (Could not find a valid device)"),
        (["heavy", "arch:x86_64", "rpi", "mac"], 'lacks "heavy", arch x86_64 and "mac"'),
        (["memory>=8G"], "has 4G memory, less than 8G"),
        (["disk_free>=1T"], "has 12G disk free, less than 1T"),
        (["cores>=8"], "has 4 cores, fewer than 8"),
        (["ffmpeg>=6.1"], "has ffmpeg 5.1.9-0+deb12u1, older than 6.1"),
        (["python>=3.11.3"], "has python 3.11.2, older than 3.11.3"),
        (["sox>=14"], "has sox of an unknown version"),
        (["blender>=4"], "lacks blender>=4"),
        (["heavy", "memory>=8G"], 'lacks "heavy" and has 4G memory, less than 8G'),
    ],
)
def test_a_machine_says_what_it_lacks_in_plain_words(words: list[str], sentence: str) -> None:
    """The end of a sentence that begins with its name."""
    assert not all(has(RPI, word) for word in words)
    assert missing(RPI, words) == sentence


def test_a_worker_of_the_last_release_has_its_words() -> None:
    """It tells neither versions nor facts."""
    old = WorkerInfo(name="o", identity="o", incarnation="i", slots=1, capabilities=("ffmpeg",))
    assert has(old, "ffmpeg")
    assert missing(old, ["memory>=1G", "ffmpeg>=4"]) == "lacks memory>=1G and ffmpeg>=4"


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("a b", "cannot be a label or capability"),
        ("", "cannot be a label or capability"),
        ("a+b", "cannot be a label or capability"),
        ("memory<4G", "only >= may be asked"),
        ("memory=4G", "only >= may be asked"),
        ("memory>4G", "only >= may be asked"),
        ("memory>=", "only >= may be asked"),
        ("memory>=lots", "lots is no size; write such as memory>=4G"),
        ("cores>=4G", "4G is no number; write such as cores>=4"),
        ("ffmpeg>=new", "new is no version; write such as ffmpeg>=6.1"),
    ],
)
def test_a_requirement_that_makes_no_sense_is_refused_with_a_sentence(word: str, words: str) -> None:
    """Where it is written, by whoever writes it."""
    with pytest.raises(BadSpec, match=words):
        make_spec("true", needs=[word])


def test_a_wish_is_a_word() -> None:
    """The scripts that ring know words only."""
    assert make_spec("true", prefer=["heavy", "encoder:libx264", "mac-mini"]).prefer
    with pytest.raises(BadSpec, match="cannot be preferred"):
        make_spec("true", prefer=["memory>=4G"])


@pytest.mark.parametrize(
    ("text", "numbers"), [("7.1", (7, 1)), ("n7.1-static", (7, 1)), ("v24", (24,)), ("N-1234-gabc", None), ("", None)]
)
def test_versions_are_the_numbers_they_begin_with(text: str, numbers: tuple[int, ...] | None) -> None:
    """Distributions and builders add what they like."""
    assert version(text) == numbers
