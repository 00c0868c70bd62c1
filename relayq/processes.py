"""Processes that outlive whoever started them: told apart by more than a pid, started detached, ended for certain.

Almost standard library only. A pid alone means nothing: it is used again after a crash or a reboot. With the boot
and the moment it was started, it names one process for ever; that token is what is kept in files.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

KILL_PATIENCE = 5.0  #: seconds a killed process may take to be gone
_LOOK_EVERY = 0.01  #: seconds between two looks at a process that should end


@dataclass(frozen=True, kw_only=True)
class Spawned:
    """A process that was started detached."""

    pid: int
    token: str


def identify(pid: int) -> str | None:
    """A token that no other process has or will have; None if no process with this pid is running."""
    seen = _look(pid)
    return seen[0] if seen and not seen[1] else None


def alive(pid: int, token: str) -> bool:
    """Whether this very process is running. One that has ended but was not waited for is not."""
    return identify(pid) == token


def parent(pid: int) -> int | None:
    """The pid of its parent; None if there is no such process."""
    import psutil

    try:
        return psutil.Process(pid).ppid()
    except (psutil.Error, ValueError):
        return None


def spawn_detached(
    argv: Sequence[str | Path],
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: str | Path = "/",
    *,
    umask: int = -1,
) -> Spawned:
    """Start a program in a session of its own, reading /dev/null and appending all it says to `log` (0600).

    `env` is its whole environment, by default ours. Raises OSError if the program or the log cannot be opened.
    """
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "wb") as output:
        process = subprocess.Popen(
            [os.fspath(word) for word in argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env=env,
            umask=umask,
            start_new_session=True,
        )
    # Nobody has waited for it yet, so it is still to be seen, ended or not.
    seen = _look(process.pid)
    # If it ends before us it must not stay as a zombie; if we end first, init takes it over.
    threading.Thread(target=process.wait, name=f"reap-{process.pid}", daemon=True).start()
    return Spawned(pid=process.pid, token=seen[0] if seen else "")


def end(pid: int, token: str, timeout: float) -> bool:
    """End this very process: TERM, up to `timeout` seconds, then KILL. True unless it had to be killed.

    Returns when it is gone; at once if it was. Raises PermissionError if it is another user's, and TimeoutError
    if even KILL did not end it (it hangs inside the kernel).
    """
    if not _signal(pid, token, signal.SIGTERM):
        return True
    _signal(pid, token, signal.SIGCONT)  # a stopped process hears TERM only when it goes on
    if wait_ended(pid, token, timeout):
        return True
    if not _signal(pid, token, signal.SIGKILL):
        return True
    if not wait_ended(pid, token, KILL_PATIENCE):
        raise TimeoutError(f"process {pid} does not end, though it was killed: it waits for a disk or a device")
    return False


def wait_ended(pid: int, token: str, timeout: float) -> bool:
    """Whether this very process was gone within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while alive(pid, token):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK_EVERY)
    return True


def _signal(pid: int, token: str, number: signal.Signals) -> bool:
    if not alive(pid, token):
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _look(pid: int) -> tuple[str, bool] | None:
    """(token, whether it has ended and only waits to be reaped)"""
    if pid <= 0:
        return None
    if _has_proc():
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The name before the last ")" may hold anything, blanks and brackets too.
        fields = stat[stat.rindex(b")") + 2 :].split()
        return f"{_boot()}/{fields[19].decode()}", fields[0] in {b"Z", b"X"}
    return _look_with_ps(pid)


def _look_with_ps(pid: int) -> tuple[str, bool] | None:
    told = _told("ps", "-o", "stat=,lstart=", "-p", str(pid)).split()
    return (f"{_boot()}/{' '.join(told[1:])}", told[0].startswith("Z")) if len(told) > 1 else None


@cache
def _has_proc() -> bool:
    return Path("/proc/self/stat").exists()


@cache
def _boot() -> str:
    if _has_proc():
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    # Not kern.boottime: it moves when the clock is set.
    return _told("sysctl", "-n", "kern.bootsessionuuid").strip()


def _told(*argv: str) -> str:
    # ps writes the start in the local time and language: the token must not depend on who looks.
    plain = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C", "TZ": "UTC"}
    return subprocess.run(argv, env=plain, capture_output=True, text=True, timeout=10, check=False).stdout
