"""How much of the processor others use: relayq's own jobs do not count, or they would hold back themselves."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil

from relayq.supervisor.client import Session
from relayq.supervisor.launch import living
from relayq.supervisor.messages import SupervisorError

CALM = 10.0  #: percent below the threshold at which work is taken again
SURE_AFTER = 2  #: looks in a row on the other side


class CpuWatch:
    """Looks every few seconds; `reason` says why nothing new is taken, as the end of a sentence."""

    def __init__(self, home: Path, threshold: float) -> None:
        self._home = home
        self._threshold = threshold
        self._last: tuple[float, float, float] | None = None
        self._strikes = 0
        self._supervisors: dict[str, int] = {}
        self.reason: str | None = None

    def look(self) -> None:
        """One look; the first only starts the clock."""
        at, busy, own = time.monotonic(), _busy_seconds(), self._own_seconds()
        if self._last is not None and at > self._last[0]:
            used = max(0.0, (busy - self._last[1]) - max(0.0, own - self._last[2]))
            # The clocks of processors and of the machine differ a little.
            self.note(min(100.0, 100.0 * used / ((at - self._last[0]) * (os.cpu_count() or 1))))
        self._last = (at, busy, own)

    def note(self, percent: float) -> None:
        """Others use so much of all cores."""
        over = percent > self._threshold if self.reason is None else percent > self._threshold - CALM
        if over == (self.reason is not None):
            self._strikes = 0
        else:
            self._strikes += 1
        if self._strikes >= SURE_AFTER:
            self._strikes = 0
            self.reason = None if self.reason else _sentence(percent, self._threshold)
        elif self.reason and over:
            self.reason = _sentence(percent, self._threshold)

    def _own_seconds(self) -> float:
        total = _seconds(psutil.Process())
        for pid in self._supervisor_pids():
            try:
                supervisor = psutil.Process(pid)
                family = [supervisor, *supervisor.children(recursive=True)]
            except psutil.Error:
                continue
            for process in family:
                try:
                    total += _seconds(process)
                except psutil.Error:
                    continue
        return total

    def _supervisor_pids(self) -> list[int]:
        sockets = living(self._home)
        for path in sockets:
            if path not in self._supervisors or not psutil.pid_exists(self._supervisors[path]):
                try:
                    with Session(path, {}) as session:
                        self._supervisors[path] = session.supervisor_pid
                except SupervisorError:
                    continue
        return [self._supervisors[path] for path in sockets if path in self._supervisors]


def _sentence(percent: float, threshold: float) -> str:
    return f"others use {percent:.0f} % of its processor (more than cpu_threshold, {threshold:g} %)"


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # Linux counts a guest's time twice.
    return float(sum(times) - idle - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0))


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    reaped = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return float(times.user + times.system + reaped)
