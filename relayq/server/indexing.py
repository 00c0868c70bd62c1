"""Keeps the index up to date: from the store's events, and anew from the store's pages where events were missed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from relayq.errors import BrokerUnavailable
from relayq.model import Event, Job, State
from relayq.server.index import Index
from relayq.store import Store

log = logging.getLogger("relayq.server")

Happened = Callable[[Sequence[Event], Sequence[Job]], None]  #: changes, and the jobs that have ended with them

PAGE = 500  #: jobs read at once
CURSOR, COMPLETE = "cursor", "complete"
SWEEP_EVERY = 60.0  #: seconds between two looks for jobs that are kept no longer


class Indexer:
    """A listener of a follower of its own; pages are read in a thread, while events come in already.

    `happened` hears the same, with the records.
    """

    def __init__(self, store: Store, index: Index, keep: float, happened: Happened) -> None:
        self._store = store
        self._index = index
        self._happened = happened
        self._keep = keep
        self._cursor = ""
        self._filling: threading.Thread | None = None
        self._over = threading.Event()
        self._sweep_at = 0.0

    @property
    def filling(self) -> bool:
        """Whether jobs may still be missing."""
        return self._filling is not None and self._filling.is_alive()

    def stop(self) -> None:
        """Do not read further pages."""
        self._over.set()

    def start_at(self) -> str:
        """The cursor to follow from: where it stopped, if all events since are still kept. Raises BrokerUnavailable."""
        oldest, newest = self._store.events_kept()
        cursor = self._index.noted(CURSOR)
        kept = cursor is not None and _order(oldest) <= _order(cursor) <= _order(newest)
        if not kept or self._index.noted(COMPLETE) is None or cursor is None:
            self._index.clear()
            cursor = newest
            self._fill()
        self._cursor = cursor
        return cursor

    def heard(self, events: Sequence[Event], cursor: str) -> None:
        """Some changes."""
        before, self._cursor = self._cursor, cursor
        last = {event.job: (event.job, State(event.state), event.worker) for event in events}
        ended = [id for id, (_, state, _) in last.items() if state.ended]
        unknown = self._index.move([row for row in last.values() if not row[1].ended])
        jobs = self._take(ended + sorted(unknown))
        self._index.note(CURSOR, cursor)
        self._happened(events, [job for job in jobs if job.state.ended])
        if len(events) >= PAGE and _order(self._store.events_kept()[0]) > _order(before):
            log.warning("events were missed: the index of jobs is filled anew")
            self._fill()
        self._sweep()

    def away(self, error: BrokerUnavailable | None) -> None:
        """Events wait for us while the broker runs; where it was replaced, another stream begins."""
        if error is None and _order(newest := self._store.events_kept()[1]) < _order(self._cursor):
            self._index.clear()
            self._cursor = newest
            self._fill()

    def _take(self, ids: Sequence[str]) -> list[Job]:
        taken = []
        for start in range(0, len(ids), PAGE):
            jobs = [job for job in self._store.get(ids[start : start + PAGE]) if job is not None]
            self._index.save(jobs)
            taken += jobs
        return taken

    def _sweep(self) -> None:
        if time.monotonic() >= self._sweep_at:
            now, _ = self._store.workers()
            more = self._index.forget_before(now - self._keep) >= 1000
            self._sweep_at = time.monotonic() + (1.0 if more else SWEEP_EVERY)

    # ── filling ──

    def _fill(self) -> None:
        if self.filling:
            return
        self._filling = threading.Thread(target=self._read_all, name="relayq-index", daemon=True)
        self._filling.start()

    def _read_all(self) -> None:
        before, count, began = None, 0, time.monotonic()
        while not self._over.is_set():
            try:
                page = self._store.page(before=before, limit=PAGE)
                self._index.save(page)
            except BrokerUnavailable:
                self._over.wait(1.0)
                continue
            except Exception:
                log.exception("the index of jobs cannot be filled")
                return
            count += len(page)
            if len(page) < PAGE:
                self._index.note(COMPLETE, "1")
                log.info("the index of jobs is filled: %d in %.1f s", count, time.monotonic() - began)
                return
            before = page[-1].place


def _order(cursor: str) -> tuple[int, ...]:
    return tuple(int(part) for part in cursor.split("-"))
