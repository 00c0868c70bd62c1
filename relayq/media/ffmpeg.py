"""Runs ffmpeg, hears how far it is and what it complains about; ends it when the job is ended."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

QUIET = ("-hide_banner", "-nostdin", "-nostats", "-loglevel", "error")
KEPT = 50  #: last lines of its complaints that are looked at
PATIENCE = 5.0  #: seconds after TERM


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended."""

    code: int
    said: tuple[str, ...]  #: its last complaints
    seconds: float  #: of output it has made


def run(argv: Sequence[str], tell: Callable[[Mapping[str, str]], None]) -> Ended:
    """Run it to its end. `tell` is given each block of its `-progress pipe:1`."""
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    said: deque[str] = deque(maxlen=KEPT)
    passing = threading.Thread(target=_pass_on, args=(process.stderr, said), daemon=True)
    passing.start()
    seconds = 0.0
    try:
        block: dict[str, str] = {}
        for line in process.stdout:
            name, _, value = line.decode("utf-8", "replace").strip().partition("=")
            block[name] = value.strip()
            if name == "progress":
                if block.get("out_time_us", "").lstrip("-").isdigit():
                    seconds = int(block["out_time_us"]) / 1e6
                tell(block)
                block = {}
        code = process.wait()
    finally:
        _end(process)
    passing.join(PATIENCE)
    return Ended(code, tuple(said), seconds)


def _pass_on(complaints: IO[bytes], said: deque[str]) -> None:
    for line in complaints:
        text = line.decode("utf-8", "replace").rstrip()
        said.append(text)
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
