"""A slot's talk with the store: claims and ends, said until they are heard."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from relayq.errors import BrokerUnavailable, Replaced, StaleAttempt
from relayq.model import Chunk, Held, Outcome, State
from relayq.store import Claim, Finish, Store
from relayq.supervisor.clock import elapsed
from relayq.worker.holding import Holding
from relayq.worker.output import batches

log = logging.getLogger("relayq.worker")
T = TypeVar("T")


class LetGo(Exception):
    """The worker stops: what runs, runs on under the supervisor, and the next worker takes care of it."""


@dataclass(slots=True)
class _Asking:
    nonce: str
    claim: Claim | None = None


class Reporter:
    """Safe to share between slots.

    `ended` hears of every job that an end given here may have ended; `retrying` when one is to be tried again later.
    """

    def __init__(
        self,
        store: Store,
        worker: str,
        incarnation: str,
        holding: Holding,
        stopping: threading.Event,
        ended: Callable[[str], None],
        retrying: Callable[[], None],
    ) -> None:
        self.worker = worker
        self.incarnation = incarnation
        self._store = store
        self._holding = holding
        self._stopping = stopping
        self._ended = ended
        self._retrying = retrying

    @property
    def stopping(self) -> bool:
        """Whether this worker has been told to stop."""
        return self._stopping.is_set()

    def claim(self) -> Claim | None:
        """The next job for a slot; None if there is none, or this worker has been replaced."""
        try:
            with self._asking() as asking:
                asked_at, asking.claim = self._until_heard(
                    lambda repeat: (
                        elapsed(),
                        self._store.claim(self.worker, self.incarnation, asking.nonce, repeat=repeat),
                    ),
                    tries=3,
                )
                return _received_at(asked_at, asking.claim)
        except (Replaced, BrokerUnavailable):
            return None  # the pulse finds out as well, and does what is to be done

    def finish(self, held: Held, outcome: Outcome, chunks: Sequence[Chunk]) -> Claim | None:
        """The end of an attempt with its last output; answers with the next job for the slot."""
        *first, last = [*batches(chunks)] or [[]]
        for batch in first:
            self._append_until_heard(held, batch)
        with self._asking() as asking:
            nonce = None if self._stopping.is_set() else asking.nonce
            asked_at, answer = self._until_heard(
                lambda repeat: (
                    elapsed(),
                    self._store.finish(
                        self.worker, self.incarnation, held, outcome, last, next_nonce=nonce, repeat=repeat
                    ),
                )
            )
            asking.claim = answer.next
            if answer.state is State.QUEUED:
                self._retrying()
            self._holding.has_ended(held, outcome, last)
            return _received_at(asked_at, self._heard(held, answer))

    def give_back(self, held: Held, outcome: Outcome, *, lost: bool) -> Claim | None:
        """The end of an attempt that is not the job's doing; answers with the next job for the slot."""
        answer = self._until_heard(
            lambda _: self._store.give_back(self.worker, self.incarnation, held, outcome, lost=lost)
        )
        self._heard(held, answer)
        return None if self._stopping.is_set() else self.claim()

    def append(self, held: Held, chunks: Sequence[Chunk]) -> None:
        """Output of a running attempt, and how far it is. Raises StaleAttempt, BrokerUnavailable."""
        self._store.append(self._holding.telling(held), chunks)

    @contextmanager
    def _asking(self) -> Iterator[_Asking]:
        """The pulse must not disown what a claim on its way may bring."""
        asking = _Asking(_nonce())
        self._holding.asks(asking.nonce)
        try:
            yield asking
        finally:
            if asking.claim is None:
                self._holding.asked(asking.nonce)

    def _append_until_heard(self, held: Held, batch: Sequence[Chunk]) -> None:
        with contextlib.suppress(StaleAttempt):  # the finish is told so, too
            self._until_heard(lambda _: self._store.append(held, batch))

    def _heard(self, held: Held, answer: Finish) -> Claim | None:
        if not answer.heard:
            log.info("an attempt's end came too late", extra={"job": held.job, "attempt": held.number})
        if answer.state is not None and answer.state.ended:
            self._ended(held.job)
        return answer.next

    def _until_heard(self, call: Callable[[bool], T], tries: int | None = None) -> T:
        """Say it again while the broker is away: ends are kept by the supervisor until somebody has heard them."""
        pause, repeat = 0.2, False
        while True:
            try:
                return call(repeat)
            except BrokerUnavailable:
                if tries is not None and (tries := tries - 1) == 0:
                    raise
            repeat = True
            self.wait(pause)
            pause = min(pause * 2, 2.0)

    def wait(self, seconds: float) -> None:
        """Before something is tried again. Raises LetGo when this worker is told to stop."""
        if self._stopping.wait(seconds):
            raise LetGo


def _received_at(asked_at: float, claim: Claim | None) -> Claim | None:
    """The lease began, at the earliest, when the question was on its way."""
    return claim and replace(claim, term=claim.term - (elapsed() - asked_at))


def _nonce() -> str:
    return os.urandom(8).hex()
