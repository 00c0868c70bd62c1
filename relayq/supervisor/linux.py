"""Processes and their descendants, as Linux shows them in /proc."""

import ctypes
import os

from relayq.supervisor.environment import MARK
from relayq.supervisor.tree import below

#: Orphans come to the nearest subreaper, so none is ever out of sight.
ADOPTS_ORPHANS = True

_PR_SET_CHILD_SUBREAPER = 36
_own_children: int | None = None


def adopt_orphans() -> bool:
    """Makes this process the one that orphaned descendants are given to."""
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(_PR_SET_CHILD_SUBREAPER, *(ctypes.c_ulong(word) for word in (1, 0, 0, 0))) == 0)


def boot_id() -> str:
    """Names this boot of the machine."""
    return _read("/proc/sys/kernel/random/boot_id").decode().strip()


def start_time(pid: int) -> str | None:
    """When a process started, in the kernel's own words; None if there is none (a zombie is none)."""
    fields = _stat(pid)
    return None if fields is None or fields[0] == b"Z" else fields[19].decode()


def children(pid: int) -> list[int]:
    """The direct children of a process with one thread."""
    try:
        return [int(word) for word in _read(f"/proc/{pid}/task/{pid}/children").split()]
    except FileNotFoundError:
        if os.path.exists(f"/proc/{pid}/task/{pid}"):  # a kernel without CONFIG_PROC_CHILDREN
            return [child for child, (parent, _) in _processes().items() if parent == pid]
        return []
    except OSError:
        return []


def own_children() -> list[int]:
    """The direct children of this process; asked after every job, and therefore through a file left open."""
    if _own_children is None:
        return children(os.getpid())
    found = os.pread(_own_children, 16384, 0)
    return [int(word) for word in found.split()] if len(found) < 16384 else children(os.getpid())


def watch_own_children() -> None:
    """Prepares `own_children`, in the process that will ask."""
    global _own_children  # noqa: PLW0603 - one open file for the process it is about
    path = f"/proc/{os.getpid()}/task/{os.getpid()}/children"
    if os.path.exists(path):  # not on a kernel without CONFIG_PROC_CHILDREN
        _own_children = os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def descendants(roots: list[int]) -> dict[int, int]:
    """pid -> process group of all living descendants of these processes, without the roots."""
    return below(roots, _processes())


def marker(pid: int) -> str | None:
    """The mark (environment.mark_of) a process was started with; None if it has none."""
    try:
        return _marker(_read(f"/proc/{pid}/environ"))
    except OSError:
        return None


def marked(marks: set[str]) -> list[int]:
    """All processes that carry one of these marks."""
    return [pid for pid in _pids() if marker(pid) in marks]


def _marker(environ: bytes) -> str | None:
    name = f"{MARK}=".encode()
    for item in environ.split(b"\0"):
        if item.startswith(name):
            return item[len(name) :].decode("utf-8", "surrogateescape")
    return None


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _processes() -> dict[int, tuple[int, int]]:
    found = {}
    for pid in _pids():
        fields = _stat(pid)
        if fields is not None and fields[0] != b"Z":
            found[pid] = (int(fields[1]), int(fields[2]))
    return found


def _stat(pid: int) -> list[bytes] | None:
    # The second field is the program's name in parentheses and may contain anything.
    try:
        return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    except OSError:
        return None


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(fd, 65536)
        while more := os.read(fd, 65536):
            data += more
        return data
    finally:
        os.close(fd)
