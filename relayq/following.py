"""Waiting for jobs: one inbox a client, read by whichever thread waits, for all handles."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar
from weakref import WeakSet, WeakValueDictionary

from relayq.errors import BrokerRefused, BrokerUnavailable, Refused, StoreFull
from relayq.model import Change, Chunk, Job
from relayq.news import Arrivals, Ended, Specs, Watched
from relayq.store import KEEP, NewJob, Store

RECHECK = 10.0  #: seconds after which the store is asked whatever the inbox says: both may be lost with a broker
BATCH = 500  #: jobs a call
READ = 4.0  #: seconds one reading of the inbox may take
TURN = 3 * READ  #: seconds after which another thread reads, should the one whose turn it is have been interrupted

T = TypeVar("T")


class Watcher:
    """Hears of ends and output of the jobs it watches. Threads that wait share one blocking read.

    What is known of a job is kept by whoever holds its `Watched`: here it is only found by its id, while it lives.
    Hearing the same news again changes nothing, so an interrupted reading is simply repeated.
    """

    def __init__(self, store: Callable[[], Store], inbox: str, *, keep: float = KEEP) -> None:
        self.inbox = inbox
        self._store = store
        self._keep = keep
        # Entered itself, not through the Condition: Ctrl-C inside Condition.__enter__ would leave it locked.
        self._lock = threading.RLock()
        self._news = threading.Condition(self._lock)
        self._watched: WeakValueDictionary[str, Watched] = WeakValueDictionary()
        self._specs = Specs(self._watched)
        self._arrivals: WeakSet[Arrivals] = WeakSet()
        self._cursor = "0"
        self._turn_until = 0.0  #: (monotonic) a thread is reading
        self._check_at = time.monotonic() + RECHECK
        self._away = False  #: the broker does not answer, and that has been said
        self._lost_contact_at = 0.0  #: (time.time) when it last did not

    # ── what to hear of ──

    def expect(self, jobs: Sequence[NewJob]) -> list[Watched]:
        """These are about to be submitted with our inbox: their ends will come by themselves."""
        with self._lock:
            found = []
            for job in jobs:
                there = self._watched.get(job.id)
                # A job that was over may be asked for again under its id; who knows of that end keeps it.
                if there is None or there.over:
                    there = self._watched[job.id] = Watched(job.id, job)
                there.since = None
                found.append(there)
            return found

    def submitted(self, jobs: Iterable[Watched], began: float) -> None:
        """They are in the store; `began` (time.time) is before the call that brought them there."""
        with self._lock:
            for watched in jobs:
                watched.since, watched.epoch = began, self._store().submitted_in

    def not_submitted(self, jobs: Iterable[Watched]) -> None:
        """They may not be in the store, or may be another's: nothing of ours is to be believed of them."""
        with self._lock:
            for watched in jobs:
                watched.new = watched.spec = None
                watched.since = time.time()

    def watch(self, ids: Iterable[str], *, output: bool = False) -> list[Watched]:
        """Hear of the ends (or also the output) of any jobs; a job that does not exist is `gone` at once."""
        with self._lock:
            found = []
            for id in ids:
                there = self._watched.get(id)
                if there is None or there.gone:
                    there = self._watched[id] = Watched(id)
                    there.since = time.time()
                found.append(there)
        self._check(found, output=output)
        return found

    def arrivals(self, jobs: Sequence[Watched]) -> Arrivals:
        """Those of these jobs that are over, and from now on each as it ends; for as long as the answer is kept."""
        arrivals = Arrivals(jobs)
        with self._lock:
            self._arrivals.add(arrivals)
            for watched in jobs:
                if watched.over:
                    arrivals.hear(watched.id)
        return arrivals

    def ended(self, id: str) -> Ended | None:
        """What is known of this job's end so far, without asking."""
        watched = self._watched.get(id)
        return watched.ended if watched is not None else None

    def note(self, job: Job, chunks: tuple[Chunk, ...] | None = None) -> None:
        """Somebody learnt of an end."""
        with self._lock:
            watched = self._watched.get(job.id)
            if watched is not None and watched.ended is None:
                self._tell(watched)
                # Last: interrupted before, the news is heard again as if for the first time.
                watched.ended, watched.gone, watched.new, watched.spec = Ended(job, chunks), False, None, None

    def _tell(self, watched: Watched) -> None:
        for arrivals in self._arrivals:
            arrivals.hear(watched.id)
        self._news.notify_all()

    # ── waiting ──

    def wait(self, answer: Callable[[], T | None], deadline: float | None, ids: Iterable[str] = ()) -> T | None:
        """Read news until `answer` (called under our lock) has one; None if `deadline` (monotonic) came first.

        At the deadline the store is asked about the jobs `ids`: what has happened by then counts, read or not. A broker
        that is away does not end the wait: it is said once on stderr. A refusal is raised, in every thread that waits.
        """
        while True:
            with self._lock:
                if (said := answer()) is not None:
                    return said
                now = time.monotonic()
                left = math.inf if deadline is None else deadline - now
                if left <= 0:
                    break
                if now < self._turn_until:
                    self._news.wait(min(left, self._turn_until - now))
                    continue
                self._turn_until = now + TURN
            try:
                self._read(min(left, READ))
            finally:
                with self._lock:
                    self._turn_until = 0.0
                    self._news.notify_all()
        try:
            self._check([watched for id in list(ids) if (watched := self._watched.get(id)) is not None])
        except BrokerRefused:
            raise
        except BrokerUnavailable:
            self._lost_contact_at = time.time()
        with self._lock:
            return answer()

    def _read(self, timeout: float) -> None:
        try:
            block = min(timeout, self._check_at - time.monotonic())
            if self._away or block <= 0:
                self._recheck()
                block = 0.0  # what somebody waits for may be known now
            cursor, changes = self._store().wait(self.inbox, self._cursor, block, self._specs)
            self._hear(changes)
            self._cursor = cursor  # not before all is heard: what is interrupted is read again
            self._away = False
        except BrokerRefused:
            raise
        except BrokerUnavailable as error:
            self._lost_contact_at = time.time()
            if not self._away:
                _say(f"{error}. Still waiting …")
            self._away = True
            time.sleep(min(timeout, 0.5))

    def _hear(self, changes: Iterable[Change]) -> None:
        ask = []
        for change in changes:
            watched = self._watched.get(change.job)
            if watched is None:  # nobody asks any more
                continue
            if change.what == "output":
                with self._lock:
                    watched.pieces += 1
            elif change.record is not None:
                self.note(change.record, change.chunks)
            elif not watched.over:
                ask.append(change.job)
        for start in range(0, len(ask), BATCH):
            for job in self._store().get(ask[start : start + BATCH]):
                if job is not None and job.state.ended:
                    self.note(job)

    # ── asking ──

    def _recheck(self) -> None:
        began = time.monotonic()
        with self._lock:
            watched = list(self._watched.values())
        self._check(watched)
        now = time.monotonic()
        # However many there are, nine tenths of the time are for the news.
        self._check_at = now + max(RECHECK, 10 * (now - began))

    def _check(self, jobs: Iterable[Watched], *, output: bool = False) -> None:
        asked = [watched for watched in jobs if watched.since is not None and not watched.over]
        for start in range(0, len(asked), BATCH):
            batch = asked[start : start + BATCH]
            try:
                for job in self._store().watch(self.inbox, [watched.id for watched in batch], output=output):
                    self.note(job)
            except StoreFull:
                pass  # the inbox will not hear of them; asking from time to time still does
            batch = [watched for watched in batch if not watched.over]
            if batch:
                self._look(batch)

    def _look(self, batch: Sequence[Watched]) -> None:
        before = [watched.since for watched in batch]
        lost = []
        for watched, since, job in zip(batch, before, self._store().get([w.id for w in batch]), strict=True):
            if job is not None and job.state.ended:
                self.note(job)
                continue
            with self._lock:
                if job is not None:
                    watched.spec = job.spec
                elif since is None or since != watched.since:
                    pass  # submitted since we asked
                elif watched.new is not None and self._lost_with_the_broker(watched, since):
                    watched.since = None
                    lost.append((watched, watched.new, since))
                else:
                    self._tell(watched)
                    watched.gone = True
        if lost:
            self._submit_again(lost)

    def _lost_with_the_broker(self, watched: Watched, since: float) -> bool:
        """Whether a missing record of a job submitted then never ran to its end, so that it will not run twice.

        A record also goes when it has been kept for long enough after the job's end. One younger than that, of a broker
        that has been away or has begun a new epoch since, was lost with what the broker had not written down.
        """
        if time.time() - since >= self._keep:
            return False
        return since <= self._lost_contact_at or self._store().epoch() != watched.epoch

    def _submit_again(self, lost: Sequence[tuple[Watched, NewJob, float]]) -> None:
        what = f"job {lost[0][0].id}" + (f" and {len(lost) - 1} more" if len(lost) > 1 else "")
        began = None
        try:
            now = time.time()
            # They were accepted once, so they are not refused now: whoever serves them may not be back yet.
            self._store().submit([replace(new, anyway=True) for _, new, _ in lost], inbox=self.inbox)
            began = now
            _say(f"the broker has lost {what}; submitted again under the same id")
        except Refused as error:
            _say(f"the broker has lost {what}, and {error}. Still waiting …")
        finally:
            with self._lock:
                for watched, _, since in lost:
                    watched.since = began or since
                    watched.epoch = self._store().submitted_in


def _say(sentence: str) -> None:
    sys.stderr.write(f"relayq: {sentence}\n")
