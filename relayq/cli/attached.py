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

from relayq.cli.bar import Bar
from relayq.cli.exits import INTERRUPTED, OWN_FAULT
from relayq.cli.screen import message
from relayq.errors import RelayqError
from relayq.model import Attempt, Chunk, Job, Reason, State

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
    """Copy the output of all attempts to ours, byte for byte, until the job ends; the record of its end.

    With `stream` that one alone.
    """
    return follow_output(app, handle, handle.pieces(follow=True, attempt=1, stream=stream), stream=stream)


def follow_output(
    app: App, handle: JobHandle, pieces: Iterable[tuple[int, Chunk]], *, stream: int | None = None, whole: bool = True
) -> Job:
    """Copy these pieces as they come until the job ends; the record of its end. For the rest see `Copied`."""
    from relayq.monitoring import progress_of

    handle.expect()
    app.be_patient()
    bar = Bar()
    copied = Copied(stream=stream, whole=whole, bar=bar)
    if not whole and bar.possible and (said := progress_of(handle.job())) is not None:
        bar.show(said)  # the line that says so may be before what is shown
    with _why_it_waits(handle):
        copied.write(pieces)
    job = ended(app, handle)
    copied.tell_missing(job, job.attempt)
    return job


def ended(app: App, handle: JobHandle) -> Job:
    """The record of the end of a job that has ended."""
    known = app.client.watcher.ended(handle.id)
    return known.job if known is not None else handle.job()


class Copied:
    """What was copied of a job's output: `stream` alone (None: both), `whole` from its beginning or only its end."""

    def __init__(self, *, stream: int | None = None, whole: bool = True, bar: Bar | None = None) -> None:
        self._stream = stream
        self._bar = bar
        self._attempt = 0
        self._ends = {1: 0, 2: 0} if whole else {}  #: up to where each stream was copied

    def write(self, pieces: Iterable[tuple[int, Chunk]]) -> None:
        """Write stdout to stdout and stderr to stderr, saying where something is missing."""
        files = {1: sys.stdout.buffer, 2: sys.stderr.buffer}
        for attempt, chunk in pieces:
            if self._attempt and attempt != self._attempt:
                self._ends = {1: 0, 2: 0}  # only the first may have been begun near its end
                if self._bar is not None:
                    self._bar.end()
            self._attempt = attempt
            self._tell_gap(chunk.stream, chunk.offset - self._ends.get(chunk.stream, chunk.offset))
            self._ends[chunk.stream] = chunk.offset + len(chunk.data)
            if self._bar is not None:
                self._bar.pass_on(chunk.stream, chunk.data, files[chunk.stream])
            else:
                files[chunk.stream].write(chunk.data)
                files[chunk.stream].flush()
        if self._bar is not None:
            self._bar.end()

    def tell_missing(self, job: Job, attempt: Attempt | None) -> None:
        """Say what is missing after the last piece, which was of this attempt: all of it, if nothing is kept."""
        if job.output_dropped:
            message(f"the output of {job.id} was removed, to keep the output of all jobs within its budget")
        elif attempt is not None and (outcome := attempt.outcome) is not None:
            produced = {1: outcome.stdout_bytes, 2: outcome.stderr_bytes}
            for stream in (1, 2) if self._stream is None else (self._stream,):
                self._tell_gap(stream, produced[stream] - self._ends.get(stream, produced[stream]))

    def _tell_gap(self, stream: int, gap: int) -> None:
        if gap > 0:
            bytes, were = ("byte", "was") if gap == 1 else ("bytes", "were")
            message(f"{gap} {bytes} of {('stdout', 'stderr')[stream - 1]} {were} not kept (see --max-output)")


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
