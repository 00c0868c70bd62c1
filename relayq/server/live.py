"""What is happening, for whoever looks: one overview for all of them, made when something has changed.

Frames are made at most four times a second and kept once; a client that is slow gets the newest and misses those
between, so that nothing piles up for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from pydantic import TypeAdapter

from relayq.errors import BrokerUnavailable
from relayq.model import Event
from relayq.monitoring import Overview, overview
from relayq.monitoring.overview import Heartbeats
from relayq.store import Store

log = logging.getLogger("relayq.server")

EVERY = 0.25  #: seconds between two frames at least
BEATS = 15.0  #: seconds until the heartbeats of the day are asked for again
REFRESH = 1.0  #: seconds until the overview is made anew though no job has changed: machines do

_OVERVIEW = TypeAdapter(Overview)


class Client:
    """Somebody who looks, perhaps at one job in particular."""

    def __init__(self, job: str | None) -> None:
        self.job = job
        self.wake = asyncio.Event()
        self.changed = job is not None


class Live:
    """Hears of events in the follower's thread; everything else is done in the server's loop."""

    def __init__(self, store: Store, url: str | None) -> None:
        self._store = store
        self._url = url
        self._loop: asyncio.AbstractEventLoop | None = None
        self._maker: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._clients: set[Client] = set()
        self._of_job: dict[str, set[Client]] = defaultdict(set)
        self._beats: Heartbeats = {}
        self._beats_at = 0.0  #: (monotonic) when they are asked for again
        self.frame = b""  #: the newest
        self.number = 0  #: of the frame
        self.over = False  #: the server stops

    @contextmanager
    def client(self, job: str | None = None) -> Iterator[Client]:
        """Somebody looks, as long as this is entered."""
        client = Client(job)
        self._loop = asyncio.get_running_loop()
        self._clients.add(client)
        if job is not None:
            self._of_job[job].add(client)
        self._changed.set()
        if self._maker is None or self._maker.done():
            self._maker = self._loop.create_task(self._make())
        try:
            yield client
        finally:
            self._clients.discard(client)
            if job is not None:
                self._of_job[job].discard(client)
                if not self._of_job[job]:
                    del self._of_job[job]

    def end(self) -> None:
        """Let all who look go: they come back when the server does."""
        self.over = True
        for client in self._clients:
            client.wake.set()

    @property
    def watched(self) -> list[str]:
        """Jobs whose output somebody looks at."""
        return list(self._of_job)

    # ── in the threads that hear ──

    def heard(self, events: Sequence[Event], cursor: str) -> None:
        """Some jobs have changed."""
        del cursor
        if self._clients and self._loop is not None:
            jobs = {event.job for event in events}
            self._loop.call_soon_threadsafe(self._hear, jobs)

    def away(self, error: BrokerUnavailable | None) -> None:
        """So has the broker."""
        del error
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._changed.set)

    def output_came(self, job: str) -> None:
        """There is more output of this job, or it has ended."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._hear, {job})

    # ── in the loop ──

    def _hear(self, jobs: set[str]) -> None:
        self._changed.set()
        for job in jobs & self._of_job.keys():
            for client in self._of_job[job]:
                client.changed = True
                client.wake.set()

    async def _make(self) -> None:
        while self._clients:
            self._changed.clear()
            began = time.monotonic()
            self.frame = await asyncio.to_thread(self._one)
            self.number += 1
            for client in self._clients:
                client.wake.set()
            await asyncio.sleep(max(0.0, EVERY - (time.monotonic() - began)))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), REFRESH)

    def _one(self) -> bytes:
        try:
            if time.monotonic() >= self._beats_at:
                self._beats, self._beats_at = self._store.heartbeats(), time.monotonic() + BEATS
            seen = overview(self._store, self._url, self._beats)
            return event("overview", _OVERVIEW.dump_json(seen))
        except BrokerUnavailable as error:
            return trouble(error)
        except Exception as error:  # whoever looks must not take silence for peace
            log.exception("the overview cannot be made")
            return trouble(error)


def event(name: str, data: bytes) -> bytes:
    """A server-sent event; JSON has no line breaks of its own."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), data)


def trouble(error: Exception) -> bytes:
    """The event for what could not be told."""
    return event("trouble", json.dumps({"error": str(error)}).encode())
