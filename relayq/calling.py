"""How this relayq is called from a shell: by its name where that is found, else by its path."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path


def command() -> str:
    """What to type instead of `relayq`, for those who did not put it on their PATH."""
    if shutil.which("relayq"):
        return "relayq"
    program = Path(sys.executable).with_name("relayq")
    if not program.exists():
        return shlex.join([sys.executable, "-m", "relayq"])
    if program.is_relative_to(Path.cwd()):
        program = program.relative_to(Path.cwd())
    return shlex.quote(str(program) if len(program.parts) > 1 else f"./{program}")  # a mere name is looked up on PATH


def examples(*words: tuple[str, str]) -> list[str]:
    """Lines of (what follows `relayq`, what it is for), below each other."""
    name = command()
    width = max(24, *(len(f"{name} {what}") for what, _ in words))
    return [f"{f'{name} {what}'.ljust(width)}     {why}" for what, why in words]
