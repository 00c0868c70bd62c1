"""This worker's connections to its supervisors: one for each thread, and a new one where the old one broke."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

from relayq.supervisor.client import Session, ensure
from relayq.supervisor.launch import living, others
from relayq.supervisor.messages import State


class Sessions:
    """Safe to share between threads, each of which has sessions of its own.

    New attempts go to the supervisor of this version; after an upgrade, those of an older one stay where they are.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._open: set[Session] = set()
        self._elsewhere: dict[str, str] = {}  #: attempts at another version's supervisor → its socket
        # What Celery sets for its own processes is none of a job's business.
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("CELERY_", "_MP_FORK", "FORKED_"))
        }

    def mine(self) -> Session:
        """This thread's connection, to a supervisor started if need be. Raises SupervisorError."""
        return self._at(None)

    def of(self, key: str) -> Session:
        """This thread's connection to the supervisor that has this attempt. Raises SupervisorError."""
        return self._at(self._elsewhere.get(key))

    def known(self) -> Iterator[State]:
        """Every attempt the supervisors of this home know, whatever their version. Raises SupervisorError."""
        yield from self.mine().list()
        for path in others(self._home):
            for state in self._at(path).list():
                self._elsewhere[state.key] = path
                yield state

    def done(self, key: str) -> None:
        """This attempt's end has been heard: its supervisor may forget it, with the next start or at a pause."""
        if key in self._elsewhere:
            self.of(key).forget(key)
            del self._elsewhere[key]
            return
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
        """This thread's connections broke: the next call makes others."""
        sessions: dict[str | None, Session] = getattr(self._mine, "sessions", {})
        self._mine.sessions = {}
        with self._lock:
            self._open.difference_update(sessions.values())
        for session in sessions.values():
            session.close()

    def interrupt(self) -> None:
        """Make every thread that waits for its job let go of it."""
        with self._lock:
            for session in self._open:
                session.interrupt()

    def _at(self, path: str | None) -> Session:
        sessions: dict[str | None, Session] | None = getattr(self._mine, "sessions", None)
        if sessions is None:
            sessions = self._mine.sessions = {}
        session = sessions.get(path)
        if session is None:
            session = sessions[path] = Session(path or ensure(self._home), self._environment)
            with self._lock:
                self._open.add(session)
        return session


def prolong_all(home: Path, seconds: float) -> None:
    """Let everything go on that is running in this home and is not over its deadline yet. Raises SupervisorError."""
    for path in living(home):
        with Session(path, {}) as session:
            running = [state.key for state in session.list() if state.state != "ended"]
            session.deadlines(dict.fromkeys(running, seconds), thaw=False)
            session.list()  # answered, so heard


def give_time(home: Path, seconds: dict[str, float | None]) -> None:
    """Move the deadlines of attempts, whichever supervisor of this home has them. Raises SupervisorError."""
    for path in living(home) if seconds else ():
        with Session(path, {}) as session:
            session.deadlines(seconds)
            session.list()  # answered, so heard
