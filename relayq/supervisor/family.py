"""A job's family: its process group and every descendant, wherever they went; signals reach all of them.

Knows nothing of jobs' rules. An orphan (a descendant whose parent died) becomes a child of the
supervisor, and belongs to the attempt its environment names. If it names none, it belongs to all
attempts that were alive when it was first seen, and goes when the last of them has ended.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Mapping

from relayq.supervisor import system


class Orphans:
    """The orphans that came to this process, and whose they are."""

    def __init__(self, home_id: str) -> None:
        self._home_id = home_id
        self._owners: dict[int, frozenset[str]] = {}
        system.watch_own_children()

    def look(self, mains: Mapping[int, object], alive: Mapping[str, object]) -> None:
        """Finds new orphans; `mains` are the jobs' own processes by pid, `alive` the attempts by key."""
        if not system.ADOPTS_ORPHANS:
            return
        for pid in system.own_children():
            if pid not in mains and pid not in self._owners:
                home_id, _, key = (system.marker(pid) or "").partition(":")
                self._owners[pid] = frozenset((key,) if home_id == self._home_id else alive)

    def gone(self, pid: int) -> None:
        """This child was reaped: its number may come again."""
        self._owners.pop(pid, None)

    def of(self, key: str, alive: Mapping[str, object]) -> list[int]:
        """The orphans of this attempt that belong to no other one that is alive."""
        return [
            pid
            for pid, owners in self._owners.items()
            if key in owners and not any(other in alive for other in owners if other != key)
        ]

    def strays(self, alive: Mapping[str, object]) -> list[int]:
        """The orphans all of whose owners have ended."""
        return [pid for pid, owners in self._owners.items() if not any(key in alive for key in owners)]


def group_lives(pgid: int) -> bool:
    """Whether the process group has a member, be it a zombie."""
    try:
        os.killpg(pgid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # members of another user (sudo); macOS says so of zombies too
        return True
    return True


def signal_family(pgid: int | None, roots: list[int], *signals: int) -> dict[int, str | None]:
    """Sends signals, in this order, once each, to a group (if any), these processes and all their descendants.

    Gives the processes outside the group, with their start times where the system will not hand them to
    us as orphans.
    """
    outside = _outside(pgid, roots)
    for number in signals:
        if pgid is not None:
            _send(os.killpg, pgid, number)
        for pid in outside:
            _send(os.kill, pid, number)
    if signal.SIGSTOP in signals:
        for pid in _outside(pgid, roots) - outside:  # born between the look and the stop
            _send(os.kill, pid, signal.SIGSTOP)
    return {} if system.ADOPTS_ORPHANS else {pid: system.start_time(pid) for pid in outside}


def _outside(pgid: int | None, roots: list[int]) -> set[int]:
    # A second TERM makes many programs give up their orderly end: nobody gets it twice.
    if not roots:
        return set()
    groups = system.descendants(roots)
    for pid in roots:
        try:
            groups[pid] = os.getpgid(pid)
        except ProcessLookupError:
            continue
    return {pid for pid, group in groups.items() if group != pgid}


def _send(kill: Callable[[int, int], None], pid: int, number: int) -> None:
    # Gone, or another user's (sudo): nothing more can be done here.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        kill(pid, number)
