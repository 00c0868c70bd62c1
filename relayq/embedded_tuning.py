"""What every Redis of relayq's own is told, whoever starts it: how it keeps its data, and how much. Pure but for a look
at the machine's memory."""

from __future__ import annotations

import os

MEMORY_STEP = 64 << 20  #: the kernel's own share of the memory varies; the limit should not


def tuning(number: tuple[int, int], maxmemory_bytes: int) -> str:
    """The lines of a configuration, for a server of this version."""
    packed = "listpack" if number >= (7, 0) else "ziplist"
    return f"""\
daemonize no
databases 16
tcp-keepalive 30
loglevel notice
# To whoever started it. With a file of its own, systemd's journal would show no more than an exit code.
logfile ""
# Every change goes to the append-only file, which is on the disk a second later. Snapshots beside it would write
# everything a second time and, being older, never be read.
appendonly yes
appendfsync everysec
save ""
# Full means refusing new jobs, never forgetting old ones.
maxmemory {maxmemory_bytes}
maxmemory-policy noeviction
# A job's record stays in the compact form although its command may be long.
hash-max-{packed}-entries 128
hash-max-{packed}-value 2048
"""


def memory_limit(total_bytes: int | None = None) -> int:
    """A quarter of the machine's memory, but 512 MiB if half of it is as much: rewriting the file may double it."""
    total = _memory_bytes() if total_bytes is None else total_bytes
    limit = max(total // 4, min(512 << 20, total // 2))
    return max(limit // MEMORY_STEP, 1) * MEMORY_STEP


def _memory_bytes() -> int:
    """Of this machine; 2 GiB where it is not told."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 2 << 30
