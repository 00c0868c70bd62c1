"""What a worker does now and then, apart from its pulse, which nothing may delay."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from relayq.errors import BrokerUnavailable

log = logging.getLogger("relayq.worker")


@dataclass
class Chore:
    """Something to do every so many seconds."""

    every: float
    do: Callable[[], None]
    due_at: float = field(default_factory=time.monotonic)


class Chores(threading.Thread):
    """Does each when it is due. One that fails is tried again at its next turn, and says so."""

    def __init__(self, *chores: Chore) -> None:
        super().__init__(name="relayq-chores", daemon=True)
        self._chores = chores
        self._over = threading.Event()

    def stop(self) -> None:
        """Nothing new is begun."""
        self._over.set()

    def run(self) -> None:
        """Until stopped."""
        while not self._over.wait(max(0.0, min(chore.due_at for chore in self._chores) - time.monotonic())):
            for chore in self._chores:
                if chore.due_at <= time.monotonic() and not self._over.is_set():
                    self._do(chore)

    def _do(self, chore: Chore) -> None:
        try:
            chore.do()
        except BrokerUnavailable:
            pass  # the pulse says so
        except Exception:
            log.exception("a chore failed")
        chore.due_at = time.monotonic() + chore.every
