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

    def done(self, key: str) -> None:
        """This attempt's end has been heard: its supervisor may forget it, with the next start or at a pause."""
        self._mine.done = (*getattr(self._mine, "done", ()), key)

    def take_done(self) -> tuple[str, ...]:
        """What this thread's supervisor may forget, to be said on the way: a frame less for each short job."""
        done: tuple[str, ...] = getattr(self._mine, "done", ())
        self._mine.done = ()
        return done

    def pause(self) -> None:
        """This thread has nothing more to do for now."""
        for key in self.take_done():
            self.mine().forget(key)

    def drop(self) -> None:
        """This thread's connection broke: the next call makes another."""
        session: Session | None = getattr(self._mine, "session", None)
        if session is not None:
            self._mine.session = None
            self._mine.done = ()
            with self._lock:
                self._open.discard(session)
            session.close()

    def interrupt(self) -> None:
        """Make every thread that waits for its job let go of it."""
        with self._lock:
            for session in self._open:
                session.interrupt()
