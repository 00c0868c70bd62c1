"""Ending all jobs of a machine, for `relayq down`, a second Ctrl-C and uninstalling: they go back into their lines."""

from __future__ import annotations

import os
import time
from pathlib import Path

from relayq.errors import RelayqError
from relayq.model import Held, Outcome, Reason
from relayq.store import Store
from relayq.supervisor.client import Session
from relayq.supervisor.launch import living
from relayq.supervisor.messages import Exit, SupervisorError
from relayq.worker.holding import held_of

PATIENCE = 2.0  #: seconds, beyond the grace, for a process to be gone


def end_jobs(home: Path, store: Store | None, *, grace: float = 2.0) -> int:
    """End every process this RELAYQ_HOME runs and give its attempt back, uncounted. How many there were.

    Without a store the attempts are given back when a worker of this home registers again, or by their leases.
    """
    ended = 0
    for path in living(home):
        try:
            with Session(path, dict(os.environ)) as session:
                ended += _end_all(session, store, grace)
        except SupervisorError:
            continue  # it went by itself
    return ended


def shut_down(home: Path) -> None:
    """Have the supervisors of this home exit; what they still run is ended."""
    for path in living(home):
        try:
            with Session(path, dict(os.environ)) as session:
                session.shutdown()
        except SupervisorError:
            continue


def _end_all(session: Session, store: Store | None, grace: float) -> int:
    keys = {state.key for state in session.list() if state.state != "ended"}
    for key in keys:
        session.attach(key)
        session.stop(key, reason=Reason.WORKER_STOPPED, grace=grace)
    waiting, deadline = set(keys), time.monotonic() + grace + PATIENCE
    while waiting and time.monotonic() < deadline:
        frame = session.next(timeout=deadline - time.monotonic())
        if isinstance(frame, Exit) and frame.key in waiting:
            waiting.discard(frame.key)
            # One that ended by itself just now keeps its own end: the next worker delivers it.
            if frame.reason == Reason.WORKER_STOPPED and _given_back(store, held_of(frame.key)):
                session.forget(frame.key)
    return len(keys)


def _given_back(store: Store | None, held: Held) -> bool:
    if store is None:
        return False
    try:
        store.give_back("", "", held, Outcome(reason=Reason.WORKER_STOPPED), lost=False)
    except RelayqError:
        return False
    return True
