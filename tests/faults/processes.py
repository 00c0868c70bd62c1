"""The processes of one RELAYQ_HOME, found by their environment: whatever was started for it carries its path."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.conftest import wait_until

Role = Literal["worker", "supervisor", "keeper", "job", "other"]


@dataclass(frozen=True)
class Process:
    """A running process, not one that only waits to be reaped."""

    pid: int
    parent: int
    state: str  #: as in /proc/PID/stat: T is stopped
    role: Role
    command: str


def of_home(home: Path) -> list[Process]:
    """All processes of a RELAYQ_HOME but ours."""
    path = os.fsencode(home)
    seen: list[tuple[int, int, str, dict[bytes, bytes], str]] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            environ = dict(v.partition(b"=")[::2] for v in (entry / "environ").read_bytes().split(b"\0") if b"=" in v)
            if path not in (environ.get(b"RELAYQ_HOME"), environ.get(b"RELAYQ_SUPERVISOR_HOME")):
                continue
            # The name may hold anything, blanks and brackets too.
            fields = (entry / "stat").read_bytes().rpartition(b") ")[2].split()
            if fields[0] not in (b"Z", b"X"):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                seen.append((int(entry.name), int(fields[1]), fields[0].decode(), environ, command))
    supervising = {pid for pid, _, _, environ, _ in seen if b"RELAYQ_SUPERVISOR_HOME" in environ}
    parents = {parent for pid, parent, *_ in seen if pid in supervising}

    def role(pid: int, environ: dict[bytes, bytes], command: str) -> Role:
        if pid in supervising:
            return "keeper" if pid in parents else "supervisor"
        if b"RELAYQ_JOB_ID" in environ:
            return "job"
        return "worker" if "worker" in command else "other"

    return [Process(p, parent, s, role(p, environ, c), c.strip()) for p, parent, s, environ, c in seen]


def send(processes: list[Process], number: int) -> None:
    """A signal to each that is still there."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def kill_all(home: Path) -> int:
    """End all processes of a home at one blow, as a power cut does: none may react to the end of another.

    Answers how many there were.
    """
    seen: set[int] = set()
    while fresh := [p for p in of_home(home) if p.pid not in seen]:
        send(fresh, signal.SIGSTOP)
        seen |= {p.pid for p in fresh}
    deadline = time.monotonic() + 10
    while left := of_home(home):
        send(left, signal.SIGKILL)
        assert time.monotonic() < deadline, f"cannot be killed: {left}"
        time.sleep(0.005)
    return len(seen)


def wait_gone(home: Path, role: Role, timeout: float = 10.0) -> None:
    """Until no process of this role is left in a home."""
    wait_until(lambda: not [p for p in of_home(home) if p.role == role], timeout, lambda: of_home(home))
