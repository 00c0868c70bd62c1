"""Whisper on Apple silicon, by Apple's MLX: `pip install mlx-whisper`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from relayq.media.engines import Speech, installed
from relayq.media.engines.whisper_output import by_program, in_this_process
from relayq.media.transcript import Segment

PACKAGE, PROGRAM = "mlx-whisper", "mlx_whisper"
_PLAIN = ("large-v3-turbo", "turbo")  #: models whose names there end without -mlx


def found() -> bool:
    """As a package of this Python, or as a program on PATH."""
    return installed(PACKAGE) or shutil.which(PROGRAM) is not None


def listen(speech: Speech) -> Iterator[Segment]:
    """Its model is fetched when it is first used."""
    repository = repository_of(speech.model)
    if not installed(PACKAGE):
        argv = [PROGRAM, str(speech.wav), "--model", repository, "--output-format", "json"]
        argv += ["--output-dir", str(speech.folder), "--output-name", "heard", "--verbose", "True"]
        argv += ["--language", speech.language] if speech.language else []
        return by_program(argv, speech.folder / "heard.json", speech)
    import mlx_whisper

    return in_this_process(
        lambda sound: mlx_whisper.transcribe(sound, path_or_hf_repo=repository, language=speech.language, verbose=True),
        speech,
    )


def repository_of(model: str) -> str:
    """Where the model is: a folder or a repository of Hugging Face as it is, a Whisper model's name by what MLX has.

    >>> repository_of("base"), repository_of("turbo")
    ('mlx-community/whisper-base-mlx', 'mlx-community/whisper-large-v3-turbo')
    """
    if "/" in model:
        return model
    if model in _PLAIN:
        return "mlx-community/whisper-large-v3-turbo"
    return f"mlx-community/whisper-{'large-v3' if model == 'large' else model}-mlx"
