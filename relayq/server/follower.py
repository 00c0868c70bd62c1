"""Follows the store's event stream in a thread of its own, and tells whoever listens."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from relayq.errors import BrokerUnavailable
from relayq.model import Event
from relayq.store import Store

log = logging.getLogger("relayq.server")

READ = 3.0  #: seconds one reading may take
AGAIN = 0.5  #: seconds until a broker that is away is asked again


class Listener(Protocol):
    """Somebody who hears of events, in the follower's thread."""

    def heard(self, events: Sequence[Event], cursor: str) -> None:
        """Some changes, in order; `cursor` stands behind them."""
        ...

    def away(self, error: BrokerUnavailable | None) -> None:
        """The broker does not answer (any more), or answers again."""
        ...


class Follower(threading.Thread):
    """Reads from the cursor that `start_at` says, until stopped; a broker that is away is asked again."""

    def __init__(self, store: Store, listeners: Sequence[Listener], start_at: Callable[[], str] = lambda: "$") -> None:
        super().__init__(name="relayq-events", daemon=True)
        self._store = store
        self._listeners = listeners
        self._start_at = start_at
        self._over = threading.Event()

    def stop(self) -> None:
        """End, within the time of one reading."""
        self._over.set()

    def run(self) -> None:
        """Until stopped."""
        cursor, away = "", False
        while not self._over.is_set():
            try:
                cursor = cursor or self._start_at()
                cursor, events = self._store.events(cursor, READ)
            except BrokerUnavailable as error:
                if not away:
                    log.warning("broker away: %s", error)
                    away = True
                    self._tell_away(error)
                self._over.wait(AGAIN)
                continue
            except Exception:
                log.exception("the store's events cannot be read")  # of a newer release, perhaps
                self._over.wait(READ)
                continue
            if away:
                log.info("broker back")
                away = False
                self._tell_away(None)
            if events:
                self._tell(events, cursor)

    def _tell(self, events: Sequence[Event], cursor: str) -> None:
        for listener in self._listeners:
            with self._going_on(listener):
                listener.heard(events, cursor)

    def _tell_away(self, error: BrokerUnavailable | None) -> None:
        for listener in self._listeners:
            with self._going_on(listener):
                listener.away(error)

    @contextmanager
    def _going_on(self, listener: Listener) -> Iterator[None]:
        """One that fails must not keep the others from hearing."""
        try:
            yield
        except Exception:
            log.exception("events were not taken in by %s", type(listener).__name__)
