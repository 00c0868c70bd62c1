"""What Whisper's editions have in common: they print `[00:00.000 --> 00:04.000]  words` while they work."""

from __future__ import annotations

import contextlib
import io
import json
import os
import queue
import re
import subprocess
import sys
import threading
import wave
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from relayq.media.engines import Speech
from relayq.media.transcript import Segment
from relayq.media.trouble import Trouble

_LINE = re.compile(r"\[((?:\d+:)?\d+:\d+\.\d+) --> ((?:\d+:)?\d+:\d+\.\d+)\]\s*(.*)")


def by_program(argv: list[str], result: Path, speech: Speech) -> Iterator[Segment]:
    """Segments as the program prints them. Raises Trouble if it fails."""
    speech.say(f"loading the model {speech.model}")
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}  # or all segments come at the end
    process = subprocess.Popen(
        argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, encoding="utf-8", errors="replace"
    )
    assert process.stdout is not None
    try:
        yield from segments(process.stdout)
        if process.wait() != 0 or not result.exists():
            raise Trouble(f"{argv[0]} failed with exit code {process.returncode}: its last lines say why")
        speech.language = json.loads(result.read_text("utf-8")).get("language") or speech.language
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def in_this_process(transcribe: Callable[[Any], dict[str, Any]], speech: Speech) -> Iterator[Segment]:
    """Segments as they are printed by a function that answers when it is done; it runs in a thread beside."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    answer: list[Any] = []

    def work() -> None:
        try:
            with contextlib.redirect_stdout(_Lines(lines.put)):
                answer.append(transcribe(samples(speech.wav)))
        except Exception as error:  # noqa: BLE001  (whatever a model raises)
            answer.append(error)
        finally:
            lines.put(None)

    threading.Thread(target=work, daemon=True).start()
    printed = 0
    for segment in segments(iter(lines.get, None)):
        printed += 1
        yield segment
    [end] = answer
    if isinstance(end, Exception):
        raise end
    speech.language = end.get("language") or speech.language
    for said in () if printed else end["segments"]:
        yield Segment(float(said["start"]), float(said["end"]), str(said["text"]).strip())


def segments(lines: Iterable[str]) -> Iterator[Segment]:
    """Those among what is printed; the rest is for people, on stderr."""
    for line in lines:
        found = _LINE.match(line)
        if found is None:
            sys.stderr.write(line if line.endswith("\n") else f"{line}\n")
        else:
            yield Segment(seconds(found[1]), seconds(found[2]), found[3].strip())


def seconds(clock: str) -> float:
    """
    >>> seconds("01:02.500"), seconds("1:00:00.000")
    (62.5, 3600.0)
    """
    total = 0.0
    for part in clock.split(":"):
        total = total * 60 + float(part)
    return total


def samples(wav: Path) -> Any:
    """The sound as Whisper wants it: numbers from -1 to 1. So that it needs no ffmpeg of its own."""
    import numpy

    with wave.open(str(wav)) as file:
        data = file.readframes(file.getnframes())
    return numpy.frombuffer(data, numpy.int16).astype(numpy.float32) / 32768.0


class _Lines(io.TextIOBase):
    def __init__(self, put: Callable[[str], None]) -> None:
        self._put = put
        self._begun = ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._put(line)
        return len(text)
