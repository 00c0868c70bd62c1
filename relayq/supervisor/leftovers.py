"""The table of running jobs on disk, and the end of those that a dead supervisor left running.

A process is identified by boot, pid and start time, never by a bare pid: numbers come again.
"""

import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from relayq.supervisor import family, system
from relayq.supervisor.environment import mark_of

_PATIENCE = 2.0  #: seconds until a killed process must be gone


class Table:
    """The file that names the running jobs. Trouble with the disk is logged, not raised."""

    def __init__(self, path: str, log: Callable[[str], None]) -> None:
        self._path = path
        self._log = log
        self._boot = system.boot_id()
        self._starts: dict[int, str | None] = {}
        self._saved: frozenset[str] = frozenset()

    def save(self, jobs: dict[str, tuple[int, float]]) -> None:
        """Writes key -> (pid, started_at) if other keys are running than when it was last written."""
        keys = frozenset(jobs)
        if keys == self._saved:
            return
        self._saved = keys  # also if it fails: not tried again until something changes
        pids = {pid for pid, _ in jobs.values()}
        self._starts = {pid: self._starts.get(pid) or system.start_time(pid) for pid in pids}
        rows = [
            {"key": key, "pid": pid, "start": self._starts[pid], "started_at": started_at}
            for key, (pid, started_at) in jobs.items()
        ]
        try:
            fd = os.open(self._path + "~", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, json.dumps({"boot": self._boot, "jobs": rows}).encode())
            finally:
                os.close(fd)
            os.rename(self._path + "~", self._path)
        except OSError as error:
            self._log(f"the running jobs cannot be noted in {self._path}: {error.strerror}")


def read(path: str) -> tuple[str, list[dict[str, Any]]]:
    """(boot, rows) of a table; empty when there is none or it cannot be understood."""
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read())
        return str(found["boot"]), [row for row in found["jobs"] if isinstance(row["key"], str)]
    except (OSError, ValueError, KeyError, TypeError):
        return "", []


def end(path: str, home_id: str, log: Callable[[str], None]) -> list[dict[str, Any]]:
    """Kills what is left of the jobs in a dead supervisor's table; gives its rows."""
    boot, rows = read(path)
    if rows and boot == system.boot_id():
        give_up_at = time.monotonic() + _PATIENCE
        while living := _living(rows, home_id):
            for pid, is_leader in living.items():
                family.signal_family(pid if is_leader else None, [pid], signal.SIGKILL)
            if time.monotonic() > give_up_at:
                log(f"{len(living)} processes of lost jobs do not die: {sorted(living)}")
                break
            time.sleep(0.01)
    return rows


def _living(rows: list[dict[str, Any]], home_id: str) -> dict[int, bool]:
    """pid -> whether it leads its group, of all processes that are left of these jobs."""
    found = dict.fromkeys(system.marked({mark_of(home_id, row["key"]) for row in rows}), False)
    for row in rows:
        if row["start"] is not None and system.start_time(row["pid"]) == row["start"]:
            found[row["pid"]] = True
    found.pop(os.getpid(), None)
    return found
