"""Whisper as its authors wrote it: `pip install openai-whisper`; what relayq 1.x used."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from relayq.media.engines import Speech, installed
from relayq.media.engines.whisper_output import by_program, in_this_process
from relayq.media.transcript import Segment

PACKAGE, PROGRAM = "openai-whisper", "whisper"


def found() -> bool:
    """As a package of this Python, or as a program on PATH."""
    return installed(PACKAGE) or shutil.which(PROGRAM) is not None


def listen(speech: Speech) -> Iterator[Segment]:
    """Its model is fetched when it is first used."""
    if not installed(PACKAGE):
        argv = [PROGRAM, str(speech.wav), "--model", speech.model, "--output_format", "json"]
        argv += ["--output_dir", str(speech.folder), "--verbose", "True"]
        argv += ["--language", speech.language] if speech.language else []
        return by_program(argv, speech.folder / f"{speech.wav.stem}.json", speech)
    import whisper

    speech.say(f"loading the model {speech.model}")
    model = whisper.load_model(speech.model)
    return in_this_process(lambda sound: model.transcribe(sound, language=speech.language, verbose=True), speech)
