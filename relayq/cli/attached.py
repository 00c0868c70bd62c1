"""A job as if it ran here: its output as it comes, Ctrl-C for it, its end as ours."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from relayq.cli.exits import INTERRUPTED, OWN_FAULT
from relayq.cli.screen import message
from relayq.errors import RelayqError
from relayq.model import Chunk, Job, Reason, State

if TYPE_CHECKING:
    from relayq.cli.context import App
    from relayq.handle import JobHandle

EXPLAIN_AFTER = 2.0  #: seconds of waiting after which it is said why


class Cancelling:
    """While entered, Ctrl-C (and TERM) cancels the job and goes on showing it; a second one leaves at once."""

    def __init__(self, handle: JobHandle) -> None:
        self._handle = handle
        self._asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                # What was ignored from the start (nohup, a shell's background) stays ignored.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, _number: int, _frame: object) -> None:
        if self._asked:
            os._exit(INTERRUPTED)
        self._asked = True
        # Not here: the main thread, interrupted by this, may hold a lock or be in the middle of a line.
        threading.Thread(target=self._cancel, daemon=True).start()

    def _cancel(self) -> None:
        id = self._handle.id
        message(f"cancelling {id}; press Ctrl-C again to leave it")
        try:
            self._handle.cancel()
        except RelayqError as error:
            message(f"{error}. The job goes on; cancel it later with: relayq cancel {id}")
            os._exit(OWN_FAULT)


def show_output(app: App, handle: JobHandle, *, stream: int | None = None) -> Job:
    """Copy a job's output to ours, byte for byte, until it ends; the record of its end."""
    handle.expect()
    app.be_patient()
    with _why_it_waits(handle):
        copy(handle.chunks(follow=True), stream=stream)
    return ended(app, handle)


def ended(app: App, handle: JobHandle) -> Job:
    """The record of the end of a job that has ended."""
    known = app.client.watcher.ended(handle.id)
    return known.job if known is not None else handle.job()


def copy(chunks: Iterable[Chunk], *, stream: int | None = None) -> None:
    """Write stdout to stdout and stderr to stderr, saying where something is missing."""
    files = {1: sys.stdout.buffer, 2: sys.stderr.buffer}
    position = {1: 0, 2: 0}
    for chunk in chunks:
        if stream not in (None, chunk.stream):
            continue
        gap = chunk.offset - position[chunk.stream]
        if gap > 0:
            message(f"{gap} bytes of {('stdout', 'stderr')[chunk.stream - 1]} were not kept (see --max-output)")
        position[chunk.stream] = chunk.offset + len(chunk.data)
        files[chunk.stream].write(chunk.data)
        files[chunk.stream].flush()


def tell_end(job: Job, *, exit_codes: bool) -> None:
    """Say how it ended, if the exit code does not say it all; with `exit_codes` also if it does."""
    from relayq.monitoring import ending

    if job.state is State.SUCCEEDED:
        return
    outcome = job.attempt.outcome if job.attempt else None
    plain = job.reason is Reason.EXITED and (outcome is None or outcome.signal is None) and not job.message
    if exit_codes or not plain:
        message(f"job {job.id} {ending(job)}")


class _why_it_waits:  # noqa: N801  (used like a function)
    """While entered: after two seconds of waiting, say once why."""

    def __init__(self, handle: JobHandle) -> None:
        self._handle = handle
        self._timer = threading.Timer(EXPLAIN_AFTER, self._tell)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _tell(self) -> None:
        with suppress(RelayqError):
            if self._handle.state is State.QUEUED:
                message(self._handle.explain().sentence)
