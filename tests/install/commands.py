"""Running commands on this machine: `call` gives what was printed, and a failure says what was run and what it said."""

from __future__ import annotations

import subprocess
from pathlib import Path


class CommandError(Exception):
    """A command failed; the message is all there is to know."""


def call(
    *argv: str | Path, input: str | None = None, timeout: float = 60.0, cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> str:  # fmt: skip
    """Run to the end; its standard output. Raises `CommandError`."""
    shown = " ".join(map(str, argv))
    try:
        done = subprocess.run(
            argv, check=False, input=input or "", timeout=timeout, cwd=cwd, env=env, capture_output=True, text=True
        )
    except subprocess.TimeoutExpired as late:
        raise CommandError(f"{shown}: did not end within {timeout} s") from late
    if done.returncode:
        raise CommandError(f"{shown}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def ip(*commands: str) -> None:
    """Several `ip` commands, one after the other."""
    for command in commands:
        call("ip", *command.split())
