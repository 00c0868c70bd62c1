"""Running commands inside a node, as root or as its owner."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from .commands import CommandError
from .groups import Group

User = Literal["root", "owner"]
Done = subprocess.CompletedProcess[str]

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LATE = 124  #: what timeout(1) exits with


def run(
    group: Group, init: int, command: str | Sequence[str | Path], *, user: User, input: str | None, timeout: float,
    check: bool, env: Mapping[str, str] | None,
) -> Done:  # fmt: skip
    """Run a command where process `init` is the first, to its end. See `Node.run`."""
    argv = ["sh", "-ec", command] if isinstance(command, str) else [str(word) for word in command]
    argv = ["env", *(f"{k}={v}" for k, v in (env or {}).items()), "timeout", "-k", "5", str(timeout), *argv]
    if user == "owner":
        argv = ["runuser", "-l", user, "-c", shlex.join(argv)]
    clean = ["env", "-i", "-C", "/root", f"PATH={PATH}", "HOME=/root", "USER=root", "LANG=C.UTF-8", "TERM=dumb"]
    enter = ["nsenter", "-t", str(init), "-m", "-u", "-i", "-n", "-p", "-C", "--"]
    code, out, err = _captured(group.entering(*enter, *clean, *argv, part="entered"), input or "", timeout + 30)
    shown = f"{command if isinstance(command, str) else shlex.join(map(str, command))}"
    if code == _LATE:
        raise CommandError(f"{shown}: did not end within {timeout} s\n{out}{err}")
    if check and code:
        raise CommandError(f"{shown}: exit {code}\n{out[-8000:]}{err[-8000:]}")
    return subprocess.CompletedProcess(shown, code, out, err)


def _captured(argv: list[str], given: str, timeout: float) -> tuple[int, str, str]:
    # Not through pipes: a service that the command started may hold them open for ever.
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        stdin.write(given.encode())
        stdin.seek(0)
        process = subprocess.Popen(argv, stdin=stdin, stdout=out, stderr=err)
        try:
            code = process.wait(timeout)
        except BaseException:
            process.kill()
            process.wait()
            raise
        out.seek(0)
        err.seek(0)
        return code, out.read().decode(errors="replace"), err.read().decode(errors="replace")
