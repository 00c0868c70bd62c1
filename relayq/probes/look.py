"""How probes look at a machine: programs on PATH, and what they say when they are run, within a time limit."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

TIMEOUT = 10.0  #: seconds for one program
NICE = 10  #: probes give way to jobs


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What a program said, and how it ended."""

    code: int  #: its exit code; 126 if it could not be started, 124 if it took too long
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The first line of its standard error, without ffmpeg's address of who speaks."""
        lines = (re.sub(r"^\[[^\]]*\] *", "", line).strip() for line in self.err.splitlines())
        return next((line for line in lines if line), f"it ended with exit code {self.code}")[:200]


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at this machine. `programs` are names somebody asked for; `seen` fills with what was looked for."""

    programs: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    seen: dict[str, str] = field(default_factory=dict)  #: program → its stamp

    def which(self, program: str) -> str | None:
        """Where a program is on PATH."""
        path = shutil.which(program, path=self.env.get("PATH"))
        self.seen[program] = stamp(path)
        return path

    def run(self, *argv: str, timeout: float = TIMEOUT) -> Said:
        """Run a program to its end; it and what it started are killed after `timeout` seconds."""
        return run(argv, self.env, timeout)


def stamp(path: str | None) -> str:
    """Another one if the program is another: its path, and when it was changed; empty if there is none."""
    try:
        return f"{path} {Path(path).stat().st_mtime_ns}" if path else ""
    except OSError:
        return ""


def run(argv: Sequence[str], env: Mapping[str, str], timeout: float) -> Said:
    """As `Look.run`."""
    nice = shutil.which("nice")
    try:
        process = subprocess.Popen(
            [nice, "-n", str(NICE), *argv] if nice else list(argv),
            env=dict(env),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        return Said(code=126, out="", err=str(error.strerror or error))
    with process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            # Its children may hold the pipes open: nothing more is read.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
            process.wait()
            return Said(code=124, out="", err=f"it did not end within {timeout:g} s")
    return Said(code=process.returncode, out=out.decode("utf-8", "replace"), err=err.decode("utf-8", "replace"))
