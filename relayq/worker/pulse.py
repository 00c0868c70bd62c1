"""The pulse: says every few seconds that this worker is there, and does what the store answers."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence

from relayq.errors import BrokerUnavailable, Replaced
from relayq.lifecycle import pulse_interval
from relayq.model import Held, Pulse, WorkerInfo
from relayq.placement import eligible
from relayq.store import Store
from relayq.supervisor.messages import SupervisorError
from relayq.worker.attempt import SUPERSEDED
from relayq.worker.holding import Holding, key_of
from relayq.worker.sessions import Sessions

log = logging.getLogger("relayq.worker")


class Pulser(threading.Thread):
    """Owns a connection of its own, so that no upload delays it."""

    def __init__(
        self,
        store: Store,
        info: WorkerInfo,
        holding: Holding,
        *,
        lease_floor: float,
        lanes_version: int,
        sessions: Sessions,
        replaced: Callable[[], None],
        chores: Sequence[Callable[[], None]] = (),
    ) -> None:
        super().__init__(name="relayq-pulse", daemon=True)
        self._store = store
        self._info = info
        self._holding = holding
        self._interval = pulse_interval(lease_floor)
        self._margin = lease_floor / 5
        self._lanes_version = lanes_version
        self._sessions = sessions
        self._replaced = replaced
        self._chores = chores
        self._due = threading.Event()
        self._over = False

    def now(self) -> None:
        """Pulse at once: something concerns a running attempt."""
        self._due.set()

    def stop(self) -> None:
        """No further pulse."""
        self._over = True
        self._due.set()

    def run(self) -> None:
        """Until stopped or replaced."""
        while not self._over:
            try:
                self._beat()
                for chore in self._chores:
                    chore()
            except Replaced as error:
                log.error("%s", error)
                self._replaced()
                return
            except BrokerUnavailable as error:
                log.warning("broker away", extra={"error": str(error)})
                if _refused(error):
                    self._nobody_else_can_have_them()
            except SupervisorError as error:
                log.warning("supervisor away", extra={"error": str(error)})
                self._sessions.drop()
            self._due.wait(self._interval)
            self._due.clear()

    def _beat(self) -> None:
        held = self._holding.all()
        sent_at = time.monotonic()
        answer = self._store.pulse(self._info.name, self._info.incarnation, held, load=os.getloadavg()[0])
        self._obey(answer, held, sent_at)
        if answer.lanes_version != self._lanes_version:
            _, lanes = self._store.lanes()
            mine = [lane for lane in lanes if eligible(self._info, lane)]
            self._lanes_version = self._store.serve(self._info.name, mine, all=True)

    def _obey(self, answer: Pulse, held: Sequence[Held], sent_at: float) -> None:
        if not held:
            return
        attempts = {h.job: h for h in held}
        session = self._sessions.mine()
        for reason, jobs in (("cancelled", answer.cancelled), (SUPERSEDED, answer.superseded)):
            for job in jobs:
                # A slot that has said the end meanwhile holds it no more.
                if self._holding.get(job) == attempts[job]:
                    session.stop(key_of(attempts[job]), reason=reason)
        passed = time.monotonic() - sent_at
        session.deadlines(
            {
                key_of(attempts[job]): term - self._margin - passed
                for job, term in answer.term.items()
                if job in attempts
            }
        )

    def _nobody_else_can_have_them(self) -> None:
        """The broker's host answers that no broker is there: no job can be given away, so none need stop (P5)."""
        held = self._holding.all()
        if held:
            self._sessions.mine().deadlines({key_of(h): 3 * self._interval + self._margin for h in held})


def _refused(error: BaseException) -> bool:
    """Whether the broker's host said so itself, or nobody answered."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError) or "refused" in str(cause).lower():
            return True
        cause = cause.__cause__ or cause.__context__
    return False
