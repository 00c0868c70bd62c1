"""Looks at the store in a thread of its own whenever something has happened, and hands on what there is to see."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from relayq.errors import BrokerUnavailable
from relayq.monitoring import Overview, overview
from relayq.store import Store

REFRESH = 2.0  #: seconds until another look though no job has changed: machines do
EVERY = 0.25  #: seconds between two looks at least
RETRY = 1.0  #: seconds after a look that failed


class Looking:
    """From `start` until `stop`. `seen` hears of every look, or of why there was none; in our thread."""

    def __init__(self, store: Store, url: str | None, seen: Callable[[Overview | BrokerUnavailable], None]) -> None:
        self._store = store
        self._url = url
        self._seen = seen
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="looking", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Hear no more; a call under way ends by itself."""
        self._over.set()

    def _look(self) -> None:
        cursor = "$"
        while not self._over.is_set():
            began = time.monotonic()
            found: Overview | BrokerUnavailable
            try:
                found = overview(self._store, self._url)
            except BrokerUnavailable as error:
                found = error
            if self._over.is_set():
                return
            self._seen(found)
            if isinstance(found, BrokerUnavailable):
                self._over.wait(RETRY)
                continue
            self._over.wait(max(0.0, EVERY - (time.monotonic() - began)))
            with suppress(BrokerUnavailable):  # the next look says so
                cursor, _ = self._store.events(cursor, REFRESH)
