"""Whisper in C++: `brew install whisper-cpp`, or built from its source; its models are files that one fetches."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from relayq.media.engines import Speech
from relayq.media.transcript import Segment
from relayq.media.trouble import Trouble, shown

PROGRAMS = ("whisper-cli", "whisper-cpp")
_PROGRESS = re.compile(r"progress = +(\d+)%")


def program() -> str | None:
    """The newer name first."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


def found() -> bool:
    """As a program on PATH."""
    return program() is not None


def model_file(model: str) -> Path | None:
    """A file of this name, or where such files are kept."""
    if Path(model).is_file():
        return Path(model)
    name = "large-v3-turbo" if model == "turbo" else model
    return next((path for folder in folders() if (path := folder / f"ggml-{name}.bin").is_file()), None)


def folders() -> list[Path]:
    """Where such files are kept."""
    given = [Path(folder) for folder in os.environ.get("WHISPER_CPP_MODELS", "").split(os.pathsep) if folder]
    given += [Path.home() / ".cache/whisper.cpp", Path.home() / "whisper.cpp/models"]
    return given + [Path(root) / "share" / name for root in _ROOTS for name in ("whisper-cpp", "whisper.cpp/models")]


_ROOTS = ("/opt/homebrew", "/usr/local", "/usr")


def listen(speech: Speech) -> Iterator[Segment]:
    """Raises Trouble if the model is not there or the program fails."""
    name, model = program(), model_file(speech.model)
    if name is None or model is None:
        raise Trouble(
            f"whisper.cpp has no model {shown(speech.model)} on {speech.machine}: "
            f"put ggml-{speech.model}.bin (huggingface.co/ggerganov/whisper.cpp) into ~/.cache/whisper.cpp there"
        )
    result = speech.folder / "heard.json"
    argv = [name, "-m", str(model.absolute()), "-f", str(speech.wav), "-l", speech.language or "auto"]
    argv += ["-oj", "-of", str(result.with_suffix("")), "-pp"]
    speech.say(f"loading the model {speech.model}")
    code = _run(argv, speech)
    if code != 0 or not result.exists():
        raise Trouble(f"{Path(name).name} failed with exit code {code}: its last lines say why")
    told = json.loads(result.read_text("utf-8", "replace"))
    speech.language = (told.get("result") or {}).get("language") or speech.language
    for part in told["transcription"]:
        at = part["offsets"]  # milliseconds
        yield Segment(at["from"] / 1000, at["to"] / 1000, part["text"].strip())


def _run(argv: list[str], speech: Speech) -> int:
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if percent := _PROGRESS.search(line):
                speech.say(f"{percent[1]} %")
            else:
                sys.stderr.write(line)
        return process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
