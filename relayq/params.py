"""What jobs of the kinds transcode and transcribe may be asked: their parameters, checked before they are queued."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from relayq.errors import BadSpec

PRESETS = ("quality", "fast")  #: the first is the default
CODECS = ("h264", "h265")
FORMATS = ("txt", "srt", "vtt", "json")
#: What turns speech into text, in the order in which a machine that has several uses them.
ENGINES = ("mlx-whisper", "whisper.cpp", "faster-whisper", "openai-whisper", "pocketsphinx")
MODEL = "base"
CAN_TRANSCODE = "transcode"  #: the capability of a machine with an ffmpeg, on PATH or in a package
CAN_TRANSCRIBE = "transcribe"  #: the capability of a machine with any engine
TRANSCRIPT_BYTES = 8 << 20  #: kept of its output, if nothing else is said: it is the value, even that of a whole day
#: By codec, the encoders of hardware, the fastest first.
HARDWARE = {
    "h264": ("h264_videotoolbox", "h264_nvenc", "h264_vaapi", "h264_v4l2m2m"),
    "h265": ("hevc_videotoolbox", "hevc_nvenc", "hevc_vaapi"),
}

TRANSCODE = ("input", "output", "options", "preset", "codec")
TRANSCRIBE = ("input", "output", "model", "language", "format", "engine")


def check_transcode(params: Mapping[str, Any]) -> None:
    """Raise BadSpec if no machine could do this."""
    _check_names("transcode", params, TRANSCODE)
    _check_file("input", params.get("input"))
    _check_file("output", params.get("output"))
    for name, words in (("preset", PRESETS), ("codec", CODECS)):
        _check_word(name, params.get(name), words)
        if params.get("options") is not None and params.get(name) is not None:
            raise BadSpec(f"options say everything that ffmpeg is told: give either options or {name}")
    options = params.get("options")
    if options is not None:
        _check_text("options", options)
        try:
            shlex.split(options)
        except ValueError as error:
            raise BadSpec(f"options are not words for ffmpeg ({error}): close every quote") from None


def check_transcribe(params: Mapping[str, Any]) -> None:
    """Raise BadSpec if no machine could do this."""
    _check_names("transcribe", params, TRANSCRIBE)
    _check_file("input", params.get("input"))
    if params.get("output") is not None:
        _check_file("output", params["output"])
    for name in ("model", "language"):
        if params.get(name) is not None:
            _check_file(name, params[name], "a word")
    _check_word("format", params.get("format"), FORMATS)
    _check_word("engine", params.get("engine"), ENGINES)


CHECKS: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
    "transcode": check_transcode,
    "transcribe": check_transcribe,
}


def needs(kind: str, params: Mapping[str, Any]) -> tuple[str, ...]:
    """What a machine must have for this, whatever else is said of it."""
    if kind == "transcode":
        own = params.get("codec") == "h265" and params.get("preset") in (None, PRESETS[0])
        return (CAN_TRANSCODE, "encoder:libx265") if own else (CAN_TRANSCODE,)
    return (params.get("engine") or CAN_TRANSCRIBE,) if kind == "transcribe" else ()


def preferred(kind: str, params: Mapping[str, Any]) -> tuple[str, ...]:
    """What to choose first, if nothing is said: hardware for "fast", a model on the disk. (Heavy ones by a route.)"""
    model = str(params.get("model") or MODEL)
    if kind == "transcribe" and re.fullmatch(r"[A-Za-z0-9._-]{1,32}", model):
        return tuple(f"{engine}:{model}" for engine in ENGINES if params.get("engine") in (None, engine))
    if kind != "transcode" or params.get("preset") != "fast":
        return ()
    return tuple(f"encoder:{name}" for name in HARDWARE[params.get("codec") or CODECS[0]])


def format_of(params: Mapping[str, Any]) -> str:
    """The format asked for, or the one that the output's name says."""
    suffix = PurePosixPath(params.get("output") or "").suffix.lstrip(".").lower()
    return str(params.get("format") or (suffix if suffix in FORMATS else FORMATS[0]))


def _check_names(kind: str, params: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for name in params:
        if name not in known:
            raise BadSpec(f"{kind} has no option called {name!r}; it has: {', '.join(known)}")


def _check_file(name: str, value: Any, what: str = "a file on the worker") -> None:
    _check_text(name, value)
    if not value:
        raise BadSpec(f"{name} is empty: name {what}")


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise BadSpec(f"{name} must be a str; got {type(value).__name__} ({value!r:.40})")
    check_text(name, value, "rename the file")


def check_text(name: str, text: str, advice: str) -> None:
    """Raise BadSpec, with advice, for what no program can be given as an argument."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadSpec(f"{name} is not text: it has bytes that are no UTF-8; {advice}") from None
    if "\0" in text:
        raise BadSpec(f"{name} has a NUL byte in it, which no program can be given; {advice}")


def _check_word(name: str, value: Any, words: tuple[str, ...]) -> None:
    if value is not None and value not in words:
        raise BadSpec(f"{name} is {value!r:.40}; it must be one of: {', '.join(words)}")
