"""One transcript from top to bottom: take the sound, listen, write down; a file is written aside and then named."""

from __future__ import annotations

import sys
import wave
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from relayq.kinds import transcribe
from relayq.media import ffmpeg, trouble
from relayq.media.engines import RATE, Speech, engine
from relayq.media.files import Aside, check_input
from relayq.media.probe import facts_of, named, the_ffmpeg
from relayq.media.telling import Telling
from relayq.media.transcript import Segment, Transcript, written
from relayq.media.trouble import Trouble, shown
from relayq.progress import Progress


def run(asked: Mapping[str, Any], workspace: Path) -> None:
    """Do it and print the transcript. Raises Trouble, OSError."""
    check_input(asked["input"], asked["machine"])
    with ExitStack() as stack:
        aside = None
        if asked["output"]:
            aside = stack.enter_context(Aside(asked["output"], asked["machine"], input=asked["input"]))
        folder = Path(stack.enter_context(TemporaryDirectory(dir=workspace)))
        telling = Telling()
        speech = Speech(
            wav=folder / "speech.wav",
            folder=folder,
            machine=asked["machine"],
            model=asked["model"],
            language=asked["language"],
            say=lambda words: telling.tell(Progress(None, words)),
        )
        seconds = take_sound(asked, speech.wav)
        segments = []
        for segment in listen(asked["engine"], speech):
            segments.append(segment)
            telling.tell(transcribe.progress(segment.end, seconds))
        transcript = Transcript(
            segments=segments, language=speech.language, engine=asked["engine"], model=asked["model"]
        )
        text = written(transcript, asked["format"])
        if aside is not None:
            Path(aside.path).write_text(text, "utf-8")
            aside.complete()
    sys.stdout.write(text)


def take_sound(asked: Mapping[str, Any], wav: Path) -> float:
    """The first sound track as engines want it; how many seconds it has. Raises Trouble."""
    program = the_ffmpeg(asked["machine"])
    facts = facts_of(asked["input"], program)
    if facts.audio is None and (facts.video or facts.duration):
        raise Trouble(f"there is no sound track in {shown(asked['input'])}")
    argv = [program, *ffmpeg.QUIET, "-y", "-progress", "pipe:1", "-i", named(asked["input"]), "-map", "0:a:0"]
    argv += ["-vn", "-sn", "-dn", "-ac", "1", "-ar", str(RATE), "-c:a", "pcm_s16le", "-bitexact", "-f", "wav", str(wav)]
    ended = ffmpeg.run(argv, lambda _: None)
    if ended.code != 0:
        raise trouble.of_ffmpeg(ended.said, ended.code, machine=asked["machine"], input=asked["input"], output=str(wav))
    with wave.open(str(wav)) as sound:
        seconds = float(sound.getnframes() / RATE)
    if (why := trouble.broken_off(ended.said, seconds, facts.sound)) is not None:
        raise Trouble(f"{shown(asked['input'])} is damaged or incomplete: {why}. Copy it again")
    return seconds


def listen(name: str, speech: Speech) -> Iterator[Segment]:
    """Segments as they become known. Raises Trouble for whatever an engine raises."""
    try:
        yield from engine(name).listen(speech)
    except (Trouble, OSError):
        raise
    except Exception as error:
        raise Trouble(f"{name} failed on {speech.machine}: {type(error).__name__}: {error}") from error
