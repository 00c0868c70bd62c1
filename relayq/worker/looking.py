"""Looks at the machine while the worker works already, and tells the store what has changed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from relayq import probes
from relayq.errors import BrokerUnavailable, Replaced
from relayq.model import Capability, Reprobe
from relayq.probes import machine
from relayq.probes.look import Look
from relayq.probes.memory import Memory
from relayq.store import Store
from relayq.worker.facts import with_findings
from relayq.worker.offering import Offering

log = logging.getLogger("relayq.worker")

LOOK_AGAIN = 3600.0  #: seconds: programs are installed, disks fill
SETTLE = 60.0  #: seconds after a start with nothing new on PATH: a restart has better things to do
SOON = 5.0  #: seconds, if the store could not be told


class Looking:
    """One a worker. `programs` are those its settings name."""

    def __init__(self, home: Path, programs: Sequence[str]) -> None:
        self._home = home
        self._memory = Memory(home)
        self._programs = tuple(dict.fromkeys((*programs, *self._memory.programs())))
        self._due = threading.Event()
        self._asked: Reprobe | None = None
        self._tried = False  #: what is known when the worker starts was found by trying
        self._over = False

    def recall(self) -> tuple[Capability, ...]:
        """What is known without looking, for the worker that starts."""
        known, self._tried = self._memory.recall(Look(programs=self._programs))
        return known

    def look(self, store: Store, offering: Offering, asked: Reprobe | None = None) -> None:
        """One look at everything; the store is told what is new, or at least that it was asked for. Raises Replaced."""
        if asked is not None:
            self._programs = tuple(dict.fromkeys((*self._programs, *asked.programs)))
        look = Look(programs=self._programs)
        found = probes.found(look)
        self._memory.remember(look, found)
        if self._over:
            return
        info = with_findings(offering.info, found, machine.facts(self._home))
        if asked is not None or info != offering.info:
            offering.change(store, info)
            log.info("this machine has %s", ", ".join(info.capabilities))

    def start(self, store: Store, offering: Offering) -> None:
        """Look now, and every hour, in a thread that gives way to everything."""
        self._thread = threading.Thread(target=self._run, args=(store, offering), name="relayq-looking", daemon=True)
        self._thread.start()

    def ask(self, asked: Reprobe) -> None:
        """Look now, for these programs as well. Asked with every pulse until the store has been told."""
        if asked != self._asked:
            self._asked = asked
            self._due.set()

    def stop(self) -> None:
        """No further look."""
        self._over = True
        self._due.set()

    def _run(self, store: Store, offering: Offering) -> None:
        if self._tried:
            self._due.wait(SETTLE)
        while not self._over:
            pause = LOOK_AGAIN
            self._due.clear()
            asked = self._asked
            try:
                self.look(store, offering, asked)
            except Replaced:
                return  # the pulse says so
            except BrokerUnavailable:
                pause = SOON
            except Exception:
                log.exception("looking at this machine failed")
            self._due.wait(pause)
