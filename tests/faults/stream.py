"""A steady stream of jobs for a run of chaos: submitted as others end, their ends counted as the store records them."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import redis

from relayq.errors import RelayqError
from relayq.handle import JobHandle

from .fleet import Fleet
from .invariants import ENDS
from .records import script
from .schedule import NODES

AT_ONCE = 9  #: jobs that wait or run together
_TICK = 0.1  #: seconds between two lines of a job's record
_UNSURE = 10_000  #: milliseconds of history that a broker may have lost when it was killed, generously


class Stream:
    """Used with `with`: leaving it ends the submitting, not the jobs."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        self._fleet = fleet
        self._chance = random.Random(f"jobs {seed}")
        self._client = fleet.new_client(submit_patience=3600.0)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._submit, name="stream")
        self._probes = ThreadPoolExecutor(8, "probe")
        self._ends: dict[str, str] = {}  #: event → job
        self._read_to = 0  #: milliseconds
        self.handles: list[JobHandle] = []
        self.moved_at = time.monotonic()  #: when an end was last seen

    def __enter__(self) -> Stream:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)
        self._probes.shutdown(cancel_futures=True)
        self._client.store.close()

    def finish(self, patience: float) -> None:
        """No more jobs; wait for the ends of those there are, as long as there are any ends."""
        self._over.set()
        self._thread.join(60)
        self.moved_at = time.monotonic()
        while self.unended() and time.monotonic() - self.moved_at < patience:
            time.sleep(0.1)
            self._look()

    def unended(self) -> set[str]:
        """Jobs whose end has not been seen."""
        return {handle.id for handle in self.handles} - set(self._ends.values())

    def twice(self) -> list[str]:
        """Jobs that have ended more than once."""
        return [job for job, count in Counter(list(self._ends.values())).items() if count > 1]

    def probe(self, node: str) -> Future[float]:
        """How many seconds from now a job for this node takes: until then it has not recovered."""

        def run(since: float) -> float:
            self._client.run("true", on=node, priority=10, queue_anyway=True, max_losses=100).result(timeout=120)
            return time.monotonic() - since

        return self._probes.submit(run, time.monotonic())

    def _submit(self) -> None:
        while not self._over.wait(0.05):
            with suppress(redis.RedisError, RelayqError):  # the broker is away
                self._look()
                while len(self.unended()) < AT_ONCE and not self._over.is_set():
                    self.handles.append(self._one())

    def _one(self) -> JobHandle:
        seconds = self._chance.choice((0.1, 0.3, 0.3, 1.0, 1.0, 3.0))
        # What is pinned or waits for its machine never freezes; everything else does.
        options = self._chance.choice(({}, {}, {}, {"on": self._chance.choice(NODES)}, {"on_lost": "wait"}))
        return self._client.run(
            script(seconds, every=_TICK), max_losses=100, kill_grace=1.0, queue_anyway=True, **options
        )

    def _look(self) -> None:
        """Read the ends that the store has recorded. What it has forgotten since we read it did not happen."""
        begin = max(0, self._read_to - _UNSURE)
        with redis.Redis.from_url(self._fleet.broker.url, decode_responses=True, socket_timeout=2) as client:
            found = client.xrange("relayq:events", min=str(begin))
        there = {event for event, _ in found}
        for event in [e for e in self._ends if int(e.partition("-")[0]) >= begin and e not in there]:
            del self._ends[event]
        for event, fields in found:
            self._read_to = max(self._read_to, int(event.partition("-")[0]))
            if fields["what"] in ENDS and event not in self._ends:
                self._ends[event] = fields["job"]
                self.moved_at = time.monotonic()
