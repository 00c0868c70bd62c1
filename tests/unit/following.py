"""A store with one worker that does what the test says, and clients that wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from relayq.client import Client
from relayq.config import Settings
from relayq.model import Bell, Chunk, Held, Outcome, Reason, WorkerInfo
from relayq.store import Store

DONE = Outcome(reason=Reason.EXITED, exit_code=0)
FAILED = Outcome(reason=Reason.EXITED, exit_code=1)


class Hand:
    """The worker, by hand."""

    def __init__(self, new_store: Callable[[], Store], url: str = "redis://nas:6379/0") -> None:
        self.new_store = new_store
        self.store = new_store()
        self.settings = Settings(home=Path("/nowhere"), broker_url=url)
        self._held: dict[str, Held] = {}
        self._count = 0
        self.join()

    def join(self) -> None:
        """Register; again after a broker that forgot it."""
        info = WorkerInfo(name="w", identity="w", incarnation="w", slots=100_000)
        self.store.register(info, Bell(queue="relayq.ring.q", ring="r", channel="/0.c", nudge="n"))
        self.store.serve("w", ["any"], all=True)

    def client(self, store: Any = None) -> Client:
        """One more client; two of them share nothing but the broker."""
        return Client(self.settings, store or self.new_store())

    def start(self, id: str) -> Held:
        """Claim until this job is ours."""
        while id not in self._held:
            self._count += 1
            claim = self.store.claim("w", "w", f"n{self._count}")
            assert claim is not None, f"job {id} cannot be claimed"
            self._held[claim.job.id] = claim.held
        return self._held[id]

    def say(self, id: str, *chunks: Chunk) -> None:
        """Output of a running job."""
        self.store.append(self.start(id), chunks)

    def finish(self, id: str, stdout: bytes = b"", outcome: Outcome = DONE) -> None:
        """End it, with this output."""
        chunks = [Chunk(stream=1, offset=0, data=stdout)] if stdout else []
        held = self.start(id)
        del self._held[id]
        self.store.finish("w", "w", held, outcome, chunks)


class Threads:
    """Calls that go on at the same time; what they answer or raise."""

    def __init__(self, *calls: Callable[[], Any]) -> None:
        self.answers: list[Any] = [None] * len(calls)
        self._threads = [
            threading.Thread(target=self._run, args=(i, call), daemon=True) for i, call in enumerate(calls)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, i: int, call: Callable[[], Any]) -> None:
        try:
            self.answers[i] = call()
        except BaseException as error:  # noqa: BLE001  (the test looks at it)
            self.answers[i] = error

    def ended(self, timeout: float = 20.0) -> list[Any]:
        """Their answers; fails if one of them hangs."""
        for thread in self._threads:
            thread.join(timeout)
        hanging = sum(thread.is_alive() for thread in self._threads)
        assert not hanging, f"{hanging} threads hang; the others said {self.answers}"
        return self.answers
