"""Processes and their descendants, as `ps` shows them: macOS, best effort.

macOS gives orphans to launchd, so a grandchild that left both its parent and its process group before
the job was ended is not found.
"""

import os
import subprocess

from relayq.supervisor.tree import below

ADOPTS_ORPHANS = False


def adopt_orphans() -> bool:
    """There is no such thing here."""
    return False


def boot_id() -> str:
    """Names this boot of the machine."""
    return _output(["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]).strip()


def start_time(pid: int) -> str | None:
    """When a process started, to the second; None if there is none (a zombie is none)."""
    return parse_start(_output(["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)]))


def children(pid: int) -> list[int]:
    """The direct children of a process."""
    return [child for child, (parent, _) in parse_processes(_snapshot()).items() if parent == pid]


def own_children() -> list[int]:
    """The direct children of this process."""
    return children(os.getpid())


def watch_own_children() -> None:
    """There is nothing to prepare here."""


def descendants(roots: list[int]) -> dict[int, int]:
    """pid -> process group of all living descendants of these processes, without the roots."""
    return below(roots, parse_processes(_snapshot()))


def marker(pid: int) -> str | None:
    """Other processes' environments cannot be read here."""
    del pid
    return None


def marked(marks: set[str]) -> list[int]:
    """Other processes' environments cannot be read here."""
    del marks
    return []


def parse_processes(text: str) -> dict[int, tuple[int, int]]:
    """pid -> (parent, process group) from `ps -axo pid=,ppid=,pgid=,stat=`, without zombies."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 4 and all(word.isdigit() for word in words[:3]) and not words[3].startswith("Z"):
            found[int(words[0])] = (int(words[1]), int(words[2]))
    return found


def parse_start(text: str) -> str | None:
    """The start time from `ps -o stat=,lstart= -p PID`."""
    state, _, started = text.strip().partition(" ")
    return " ".join(started.split()) if started.strip() and not state.startswith("Z") else None


def _snapshot() -> str:
    return _output(["/bin/ps", "-axo", "pid=,ppid=,pgid=,stat="])


def _output(argv: list[str]) -> str:
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"LC_ALL": "C", "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("ascii", "replace")
