"""The pulse: says every few seconds that this worker is there, and does what the store answers."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence

from relayq.errors import BrokerUnavailable, Replaced
from relayq.lifecycle import freeze_margin, pulse_interval, term_without_broker
from relayq.model import Held, Pulse, Readings
from relayq.store import Store
from relayq.supervisor.client import Session
from relayq.supervisor.clock import elapsed
from relayq.supervisor.messages import SupervisorError
from relayq.worker import announcing
from relayq.worker.attempt import SUPERSEDED
from relayq.worker.holding import Holding, key_of
from relayq.worker.offering import Offering
from relayq.worker.sessions import Sessions

log = logging.getLogger("relayq.worker")

SOONEST = 0.02  #: seconds between two pulses at least
AWAY_EVERY = 0.5  #: seconds between two tries while the broker is away


class Pulser(threading.Thread):
    """Owns a connection of its own, so that no upload delays it. `answered` hears every answer of the store."""

    def __init__(
        self,
        store: Store,
        offering: Offering,
        holding: Holding,
        *,
        lease_floor: float,
        store_now: float,
        lanes_version: int,
        sessions: Sessions,
        replaced: Callable[[], None],
        answered: Callable[[Pulse], None],
        held_back: Callable[[], str | None],
        readings: Callable[[], Readings | None],
    ) -> None:
        super().__init__(name="relayq-pulse", daemon=True)
        self._store = store
        self._offering = offering
        self._name, self._incarnation = offering.info.name, offering.info.incarnation
        self._holding = holding
        self._interval = pulse_interval(lease_floor)
        self._margin = freeze_margin(lease_floor)
        self._without_broker = term_without_broker(lease_floor)
        self._store_ahead = store_now - elapsed()  #: of our clock, in seconds; a round trip too little
        self._lanes_version = lanes_version
        self._sessions = sessions
        self._replaced = replaced
        self._answered = answered
        self._held_back = held_back
        self._readings = readings
        self._due = threading.Event()
        self._next_due = math.inf  #: seconds until something is due in the store, which only calls make happen
        self._over = False
        self._away = False

    def now(self) -> None:
        """Pulse at once: something concerns a running attempt, or there is a new lane."""
        self._due.set()

    def stop(self) -> None:
        """No further pulse."""
        self._over = True
        self._due.set()

    def run(self) -> None:
        """Until stopped or replaced."""
        while not self._over:
            self._next_due = math.inf
            try:
                self._beat()
            except Replaced as error:
                log.error("%s", error)
                self._replaced()
                return
            except BrokerUnavailable as error:
                self._broker_away(error)
            except SupervisorError as error:
                log.warning("supervisor away", extra={"error": str(error)})
                self._sessions.drop()
            except Exception:
                log.exception("the pulse failed")
            self._due.wait(max(SOONEST, min(self._interval, self._next_due, AWAY_EVERY if self._away else math.inf)))
            self._due.clear()

    def _beat(self) -> None:
        asking = self._holding.asking()  # before what is held, so that nothing is missed between the two
        held = self._holding.all()
        sent_at = elapsed()
        answer = self._store.pulse(
            self._name,
            self._incarnation,
            [self._holding.telling(attempt) for attempt in held],
            load=os.getloadavg()[0],
            readings=self._readings(),
            held_back=self._held_back(),
            said_at=self._store_ahead + sent_at,
            asking=asking,
        )
        self._store_ahead = answer.now - elapsed()
        if answer.next_due is not None:
            self._next_due = answer.next_due
        if self._away:
            log.info("broker back")
            self._away = False
        if answer.announce:
            announcing.announce(self._store, self._name, self._incarnation, self._holding)
            self._due.set()  # what was superseded, we hear with the next pulse
            return
        self._obey(answer, held, sent_at)
        if answer.lanes_version != self._lanes_version:
            version, lanes = self._store.lanes()
            if self._offering.serve(self._store, lanes, version):
                self._lanes_version = version  # a lane that was added since makes another
        self._answered(answer)

    def _obey(self, answer: Pulse, held: Sequence[Held], sent_at: float) -> None:
        attempts = {h.job: h for h in held}
        passed = elapsed() - sent_at
        # First: what is still ours has its grace although its time here was over.
        self._set_deadlines(
            {attempts[job]: term - self._margin - passed for job, term in answer.term.items() if job in attempts}
        )
        # No grace for what is superseded: its successor is at work, perhaps on the same files.
        for reason, grace, jobs in (("cancelled", None, answer.cancelled), (SUPERSEDED, 0.0, answer.superseded)):
            for job in jobs:
                # A slot that has said the end meanwhile holds it no more.
                if self._holding.get(job) == attempts[job]:
                    key = key_of(attempts[job])
                    self._sessions.of(key).stop(key, reason=reason, grace=grace)

    def _set_deadlines(self, seconds: dict[Held, float], *, thaw: bool = True) -> None:
        """How long each attempt may go on without another answer (P5)."""
        by_session: dict[Session, dict[str, float | None]] = defaultdict(dict)
        trouble: SupervisorError | None = None
        for held, left in seconds.items():
            key = key_of(held)
            try:
                by_session[self._sessions.of(key)][key] = left
            except SupervisorError as error:  # after an upgrade there are two: the other one's jobs need theirs
                trouble = error
        for session, deadlines in by_session.items():
            try:
                session.deadlines(deadlines, thaw=thaw)
            except SupervisorError as error:
                trouble = error
        if trouble is not None:
            raise trouble

    def _broker_away(self, error: BrokerUnavailable) -> None:
        if not self._away:
            log.warning("broker away", extra={"error": str(error)})
        self._away = True
        if error.serves_nobody:
            # No job can be given away, so none need stop (P5). What stopped before may have been given away before.
            try:
                self._set_deadlines(dict.fromkeys(self._holding.all(), self._without_broker), thaw=False)
            except SupervisorError:
                self._sessions.drop()
