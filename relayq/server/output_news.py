"""Hears of new output of the jobs that somebody looks at: one inbox of the store for all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from relayq.errors import RelayqError
from relayq.store import Store

READ = 2.0  #: seconds one reading may take
WATCH_AGAIN = 10.0  #: seconds: the broker may have forgotten


class OutputNews(threading.Thread):
    """Calls `came` with the id of a job, from its own thread. `watched` says which jobs."""

    def __init__(self, store: Store, inbox: str, watched: Callable[[], list[str]], came: Callable[[str], None]) -> None:
        super().__init__(name="relayq-output-news", daemon=True)
        self._store = store
        self._inbox = inbox
        self._watched = watched
        self._came = came
        self._asked: dict[str, float] = {}  #: job → when (monotonic) it was watched last
        self._wanted = threading.Event()
        self._over = False

    def look(self) -> None:
        """Somebody looks at another job now."""
        self._wanted.set()

    def stop(self) -> None:
        """End, within the time of one reading."""
        self._over = True
        self._wanted.set()

    def run(self) -> None:
        """Until stopped."""
        cursor = "0"
        while not self._over:
            jobs = self._watched()
            if not jobs:
                self._wanted.wait(READ)
                self._wanted.clear()
                continue
            try:
                self._watch(jobs)
                cursor, changes = self._store.wait(self._inbox, cursor, 0.25 if self._wanted.is_set() else READ)
                self._wanted.clear()
            except RelayqError:
                self._asked.clear()
                time.sleep(0.5)
                continue
            for job in {change.job for change in changes}:
                self._came(job)

    def _watch(self, jobs: list[str]) -> None:
        now = time.monotonic()
        self._asked = {job: at for job, at in self._asked.items() if job in jobs}
        fresh = [job for job in jobs if now - self._asked.get(job, -WATCH_AGAIN) >= WATCH_AGAIN]
        if not fresh:
            return
        ended = {job.id for job in self._store.watch(self._inbox, fresh, output=True)}
        for job in fresh:
            first = job not in self._asked
            self._asked[job] = now
            if first or job in ended:
                self._came(job)
