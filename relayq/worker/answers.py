"""The results that 1.x clients wait for, written by the worker that ends their job; nothing is lost with it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from relayq import monitoring
from relayq.errors import BrokerUnavailable
from relayq.handle import result_of
from relayq.model import Job, Result, State
from relayq.store import Store

log = logging.getLogger("relayq.worker")

PREFIX = "celery-"  #: ids of jobs that a 1.x client asked for: this and the Celery task's id
OVERDUE = 5.0  #: seconds after which any worker writes an answer that its own worker did not
LOOK_EVERY = 15.0  #: seconds between two looks for overdue answers

Write = Callable[[str, Any, Exception | None], None]


class Answers:
    """`write` puts a value or an error where the Celery task's client looks for it."""

    def __init__(self, store: Store, write: Write) -> None:
        self._store = store
        self._write = write

    def ended(self, id: str) -> None:
        """A job ended here: answer it if it is one of theirs."""
        if id.startswith(PREFIX):
            [job] = self._store.get([id])
            if job is not None:
                self._answer(job)

    def overdue(self) -> None:
        """Answer what should have been answered: cancelled while it waited, or its worker died in between."""
        for job in self._store.replies_due(OVERDUE):
            self._answer(job)

    def _answer(self, job: Job) -> None:
        if job.celery_id is None:
            return
        result = result_of(job, self._store.output(job.id).chunks)
        try:
            if result.state is State.SUCCEEDED:
                self._write(job.celery_id, answer_of(job, result), None)
            else:
                said = result.stderr.decode("utf-8", "replace").strip()
                sentence = f"job {job.id} {monitoring.ending(job)}"
                self._write(job.celery_id, None, RuntimeError(f"{sentence}\n{said}" if said else sentence))
        except BrokerUnavailable as error:
            log.warning("answer postponed", extra={"job": job.id, "error": str(error)})
            return
        self._store.replied(job.id)


def answer_of(job: Job, result: Result) -> Any:
    """What 1.x answered, and no more: its clients may compare it."""
    text = result.stdout.decode("utf-8", "replace")
    if job.spec.kind == "transcribe":
        return text.strip()
    if job.spec.kind == "transcode":
        return {name: result.value[name] for name in ("status", "output")}
    return text
