"""This worker's connections to the supervisor: one for each thread, and a new one where the old one broke."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from relayq.supervisor.client import Session, ensure


class Sessions:
    """Safe to share between threads, each of which has a session of its own."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._open: set[Session] = set()
        # What Celery sets for its own processes is none of a job's business.
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("CELERY_", "_MP_FORK", "FORKED_"))
        }

    def mine(self) -> Session:
        """This thread's connection, to a supervisor started if need be. Raises SupervisorError."""
        session: Session | None = getattr(self._mine, "session", None)
        if session is None:
            session = self._mine.session = Session(ensure(self._home), self._environment)
            with self._lock:
                self._open.add(session)
        return session

    def drop(self) -> None:
        """This thread's connection broke: the next call makes another."""
        session: Session | None = getattr(self._mine, "session", None)
        if session is not None:
            self._mine.session = None
            with self._lock:
                self._open.discard(session)
            session.close()

    def interrupt(self) -> None:
        """Make every thread that waits for its job let go of it."""
        with self._lock:
            for session in self._open:
                session.interrupt()
