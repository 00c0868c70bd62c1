"""All that a supervisor keeps on disk: which jobs run, outcomes not delivered, which version is the newest.

Memory comes first: short jobs whose outcomes are taken at once never touch the disk. Whatever the disk
refuses stays in memory, within a bound.
"""

import contextlib
import os
from collections.abc import Callable

from relayq.supervisor import leftovers, lock, paths, wire
from relayq.supervisor.clock import awake
from relayq.supervisor.job import Job
from relayq.supervisor.outcome import Outcome, exit_header
from relayq.supervisor.output import Kept
from relayq.supervisor.shelf import Shelf

_PATIENCE = 1.0  # seconds: younger jobs and outcomes are not worth a file
_MEMORY_BYTES = 16 << 20  # of undelivered output; above it, the oldest goes to disk at once
_DISK_TIME = 0.2  # seconds of syncing in one go; jobs and timers wait meanwhile


class Cellar:
    """The files of one supervisor, and those of dead ones of other versions, which it takes over."""

    def __init__(self, home: str, version: str, log: Callable[[str], None]) -> None:
        self.note_at_once = False  #: nobody else would end young jobs if this process died
        self._home = home
        self._home_id = paths.home_id(home)
        self._paths = paths.Paths(home, version)
        self._log = log
        self.shelf = Shelf(self._paths.outcomes, log)
        self._table = leftovers.Table(self._paths.table, log)
        self._current = os.path.join(self._paths.root, "current")
        self._said_current = False
        self._in_memory = 0

    def load(self, now: float) -> list[Outcome]:
        """What the last supervisor of this version left: its outcomes, and its jobs as lost ones."""
        found = self._inherit(self._paths, now, set())
        return found + self.take_over(now)

    def take_over(self, now: float) -> list[Outcome]:
        """The same from dead supervisors of other versions."""
        found: list[Outcome] = []
        for version in paths.versions(self._home):
            if version == self._paths.version:
                continue
            other = paths.Paths(self._home, version)
            try:
                held = lock.acquire(other.lock)
            except OSError:
                continue
            if held is None:
                continue  # it lives
            try:
                found += self._inherit(other, now, {outcome.key for outcome in found})
                _remove(other)
            finally:
                os.close(held)
        return found

    def note(self, jobs: dict[str, Job], now: float) -> None:
        """Keeps the table of running jobs up to date."""
        self._table.save(
            {
                key: (job.pid, job.started_at)
                for key, job in jobs.items()
                if self.note_at_once or now - job.started >= _PATIENCE
            }
        )

    def keep(self, outcomes: dict[str, Outcome], now: float, *, everything: bool = False) -> bool:
        """Moves what is old enough to disk; whether anything is left in memory."""
        started = now
        left = 0
        healthy = True
        for outcome in list(outcomes.values()):
            if outcome.kept is None:
                continue
            due = everything or (now - outcome.ended >= _PATIENCE and awake() - started < _DISK_TIME)
            if due and healthy:
                healthy = outcome.shelve(self.shelf)
            if outcome.kept is not None:
                left += outcome.kept.kept_bytes + 1
        self._in_memory = left
        return left > 0

    def outcome_kept(self, outcomes: dict[str, Outcome], found: Outcome) -> None:
        """An outcome is new in memory: makes room for it."""
        if found.kept is None:
            return
        self._in_memory += found.kept.kept_bytes
        if self._in_memory <= _MEMORY_BYTES:
            return
        # The sum forgets what was delivered meanwhile only here.
        self._in_memory = sum(o.kept.kept_bytes for o in outcomes.values() if o.kept is not None)
        for outcome in list(outcomes.values()):
            if self._in_memory <= _MEMORY_BYTES or outcome is found:
                return
            if outcome.kept is not None:
                self._in_memory -= outcome.kept.kept_bytes
                if not outcome.shelve(self.shelf):
                    outcome.drop_output()

    def say_current(self) -> None:
        """This version is the one in use: others empty themselves and leave."""
        if self._said_current:
            return
        self._said_current = True
        try:
            with open(self._current + "~", "w", encoding="utf-8") as file:
                file.write(self._paths.version)
            os.rename(self._current + "~", self._current)
        except OSError as error:
            self._log(f"{self._current} cannot be written: {error.strerror}")

    def is_superseded(self) -> bool:
        """Whether another version is the one in use."""
        try:
            with open(self._current, encoding="utf-8") as file:
                return file.read() not in ("", self._paths.version)
        except OSError:
            return False

    def is_homeless(self) -> bool:
        """Whether the home was removed: nobody can reach this supervisor any more."""
        return not os.path.exists(self._paths.lock)

    def _inherit(self, source: paths.Paths, now: float, known: set[str]) -> list[Outcome]:
        rows = leftovers.end(source.table, self._home_id, self._log)
        headers: list[wire.Header] = list(self.shelf.load(source.outcomes))
        found = [Outcome(header, None, now, None) for header in headers]
        known |= {outcome.key for outcome in found}
        for row in rows:
            if row["key"] not in known:
                header = exit_header(
                    row["key"],
                    "supervisor_lost",
                    Kept(0),
                    error="the supervisor died while this was running",
                    started_at=row["started_at"],
                )
                lost = Outcome(header, Kept(0), now, row["pid"])
                lost.shelve(self.shelf)
                found.append(lost)
        return found


def _remove(other: paths.Paths) -> None:
    for name in [*other.sockets(), other.table, other.lock]:
        with contextlib.suppress(OSError):
            os.unlink(name)
    for folder in (other.outcomes, other.folder):
        with contextlib.suppress(OSError):
            os.rmdir(folder)
