"""A job as its user sees it: wait for it, read it, cancel it; from any process, by its id."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from relayq import monitoring
from relayq.errors import BrokerRefused, BrokerUnavailable, JobFailed, OutputTruncated, ResultTimeout, UnknownJob
from relayq.lines import Lines, last_lines, last_words
from relayq.model import Chunk, Job, Output, Reason, Result, State
from relayq.news import Watched

if TYPE_CHECKING:
    from relayq.client import Client

T = TypeVar("T")


class JobHandle:
    """A job's id and the means to ask after it. Cheap; nothing is read before it is asked for."""

    def __init__(self, client: Client, id: str, watched: Watched | None = None) -> None:
        self.id = id
        self._client = client
        self._watched = watched  #: what is known of it, once our inbox hears of its end
        self._result: Result | None = None

    def __repr__(self) -> str:
        return f"<relayq job {self.id}>"

    # ── waiting ──

    def get(self, timeout: float | None = None) -> Any:
        """The value: for a command its stdout as str (UTF-8, undecodable bytes replaced, newline kept).

        Waits at most `timeout` seconds (None: for ever). Raises JobFailed, ResultTimeout, OutputTruncated, UnknownJob.
        """
        result = self.result(timeout)
        if result.state is not State.SUCCEEDED:
            raise JobFailed(self._sentence_with_last_words(result), result)
        if result.value is not None:
            return result.value
        if len(result.stdout) < result.stdout_bytes:
            raise OutputTruncated(
                f"job {self.id} printed {result.stdout_bytes} bytes, of which {len(result.stdout)} are kept. "
                "result() has them; to keep more, submit with max_output_bytes",
                result,
            )
        return result.stdout.decode("utf-8", "replace")

    def wait(self, timeout: float | None = None) -> Any:
        """As `get`: the name it had in 1.x."""
        return self.get(timeout)

    def result(self, timeout: float | None = None) -> Result:
        """How it ended, with its output; a failed job does not raise. Raises ResultTimeout, UnknownJob."""
        if self._result is None:
            deadline = None if timeout is None else time.monotonic() + timeout
            watched = self._expected()
            self._client.watcher.wait(watched.answer, deadline, [self.id])
            if (ended := watched.ended) is not None:
                chunks = ended.chunks
                if chunks is None:
                    chunks = self._patiently(partial(self._client.store.output, self.id), deadline).chunks
                self._result = result_of(ended.job, chunks)
            elif watched.gone:
                self._watched = None  # it may come back with a backup of the broker: ask afresh then
                raise self._unknown()
            else:
                raise ResultTimeout(f"job {self.id} has not ended within {timeout:g} s; it goes on. See: explain()")
        return self._result

    def ready(self) -> bool:
        """Whether it has ended."""
        return self.job().state.ended

    def failed(self) -> bool:
        """Whether it has ended without success."""
        return self.job().state in (State.FAILED, State.CANCELLED)

    # ── looking ──

    def job(self) -> Job:
        """The whole record as it is now. Raises UnknownJob."""
        watched = self._watched
        if watched is not None and watched.ended is not None:
            return watched.ended.job
        [job] = self._client.store.get([self.id])
        if job is None:
            raise self._unknown()
        return job

    @property
    def state(self) -> State:
        """Where it is in its life."""
        return self.job().state

    @property
    def info(self) -> dict[str, Any]:
        """`{"progress": 0…1 or None, "message": str or None}` while it runs; empty otherwise."""
        job = self.job()
        if job.state is not State.RUNNING or job.attempt is None:
            return {}
        return {"progress": job.attempt.progress, "message": job.attempt.note}

    @property
    def traceback(self) -> str | None:
        """What a failed job said on stderr, with the sentence that tells how it ended; None if it did not fail."""
        if not self.failed():
            return None
        result = self.result()
        return f"{result.stderr.decode('utf-8', 'replace')}{self._sentence()}"

    def explain(self) -> monitoring.Explanation:
        """Why it is where it is: a sentence for the job and one for each machine."""
        now, workers = self._client.store.workers()
        return monitoring.explain(self.job(), workers, now)

    def logs(
        self, *, follow: bool = False, stream: int | None = None, attempt: int | None = None, tail: int | None = None
    ) -> Iterator[str]:
        """Its output, line by line, newline kept; the arguments as for `pieces`."""
        current, lines = 0, {1: Lines(), 2: Lines()}
        for number, chunk in self.pieces(follow=follow, stream=stream, attempt=attempt, tail=tail):
            if number != current:
                for of_before in lines.values():
                    yield from of_before.end()
                current, lines = number, {1: Lines(), 2: Lines()}
            yield from lines[chunk.stream].add(chunk)
        for last in lines.values():
            yield from last.end()

    def chunks(self, *, follow: bool = False) -> Iterator[Chunk]:
        """Its output as bytes in the order it came; with `follow` until it ends, over all attempts from the current."""
        return (chunk for _, chunk in self.pieces(follow=follow))

    def pieces(
        self, *, follow: bool = False, stream: int | None = None, attempt: int | None = None, tail: int | None = None
    ) -> Iterator[tuple[int, Chunk]]:
        """Its output as bytes in the order it came, each piece with the number of its attempt.

        `stream`: 1 stdout, 2 stderr (default: both). `attempt`: of which one (default: the current one, or the last).
        `tail`: only so many lines of what there is already. `follow`: until the job ends, over all attempts from that
        one on.
        """

        def told(output: Output, tail: int | None = None) -> Iterator[tuple[int, Chunk]]:
            chunks = tuple(chunk for chunk in output.chunks if stream in (None, chunk.stream))
            chunks = chunks if tail is None else last_lines(chunks, tail)
            return ((output.attempt, chunk) for chunk in chunks)

        if not follow:
            yield from told(self._client.store.output(self.id, attempt=attempt), tail)
            return
        store, watcher, watched = self._client.store, self._client.watcher, self._expected()
        watcher.watch([self.id], output=True)
        position = 0
        while True:
            pieces, over = watched.pieces, watched.over
            output = self._patiently(partial(store.output, self.id, attempt=attempt, position=position))
            yield from told(output, tail)
            tail = None
            position = output.next
            # Attempt 0 is none yet; a job that is tried again goes on with its next attempt.
            attempt = output.attempt or None
            if self._goes_on(output):
                attempt, position = output.attempt + 1, 0
            elif over:
                return
            else:
                watcher.wait(partial(watched.news_since, pieces), time.monotonic() + 2.0)

    def _goes_on(self, output: Output) -> bool:
        if not output.ended or not output.attempt:
            return False
        last = self._patiently(self.job).attempt
        return last is not None and last.number > output.attempt

    def _patiently(self, ask: Callable[[], T], deadline: float | None = None) -> T:
        """An answer of the store, also of one that is away for a while."""
        while True:
            try:
                return ask()
            except BrokerRefused:
                raise
            except BrokerUnavailable:
                now = time.monotonic()
                if deadline is not None and now >= deadline:
                    raise
                # The watcher says so once, and waits for the broker; then the reading goes on where it was.
                self._client.watcher.wait(_never, min(now + 1.0, deadline or now + 1.0))

    # ── acting ──

    def cancel(self) -> Job:
        """End it; a running one within its `kill_grace`. The record as it is now. Raises UnknownJob."""
        return self._client.store.cancel(self.id)

    def retry(self) -> JobHandle:
        """A new job that asks for the same, with `retry_of` set to this one's id."""
        return self._client.retry(self.id)

    # ── underneath ──

    def expect(self) -> None:
        """Make sure that news of its end reaches this client. Raises UnknownJob."""
        self._expected()

    def _expected(self) -> Watched:
        watched = self._watched
        if watched is None:
            [watched] = self._client.watcher.watch([self.id])
            if watched.gone:  # waiting for a job that does not exist is an error, not for ever
                raise self._unknown()
            self._watched = watched
        return watched

    def _unknown(self) -> UnknownJob:
        return UnknownJob(f"no job has the id {self.id}: finished jobs are kept for a week. See: relayq list")

    def _sentence(self) -> str:
        return f"job {self.id} {monitoring.ending(self.job())}"

    def _sentence_with_last_words(self, result: Result) -> str:
        """What the job said last on stderr is mostly why it failed, unless relayq knows better."""
        spoke = result.reason in (Reason.EXITED, Reason.TIMED_OUT) and not result.message
        words = last_words(result.stderr) if spoke else None
        return f"{self._sentence()}: {words}" if words else self._sentence()


class Completed(Iterator[JobHandle]):
    """Handles in the order their jobs end, each job once. Threads may share it: each handle goes to one of them.

    A job that is no longer known comes as well: its `get` says so.
    """

    def __init__(self, client: Client, handles: Iterable[JobHandle], timeout: float | None) -> None:
        self._client = client
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._waiting: dict[str, JobHandle] = {}
        for handle in handles:
            self._waiting.setdefault(handle.id, handle)
        known = {h.id: h._watched if h._client is client else None for h in self._waiting.values()}
        for watched in client.watcher.watch([id for id, there in known.items() if there is None]):
            known[watched.id] = watched
            if (handle := self._waiting[watched.id])._client is client:
                handle._watched = watched
        self._arrivals = client.watcher.arrivals([watched for watched in known.values() if watched is not None])

    def __next__(self) -> JobHandle:
        id = self._client.watcher.wait(self._arrivals.take, self._deadline, self._waiting)
        if id is None:
            left = len(self._waiting)
            have, go = ("1 job has", "it goes") if left == 1 else (f"{left} jobs have", "they go")
            raise ResultTimeout(f"{have} not ended within {self._timeout:g} s; {go} on")
        return self._waiting.pop(id)


def _never() -> None:
    """No news is waited for, only time and the broker."""


def result_of(job: Job, chunks: tuple[Chunk, ...]) -> Result:
    """How an ended job ended."""
    attempt = job.attempt
    outcome = attempt.outcome if attempt else None
    assert job.reason is not None
    assert job.ended_at is not None
    return Result(
        id=job.id,
        state=job.state,
        reason=job.reason,
        exit_code=outcome.exit_code if outcome else None,
        signal=outcome.signal if outcome else None,
        message=job.message,
        stdout=b"".join(chunk.data for chunk in chunks if chunk.stream == 1),
        stderr=b"".join(chunk.data for chunk in chunks if chunk.stream == 2),
        stdout_bytes=outcome.stdout_bytes if outcome else 0,
        stderr_bytes=outcome.stderr_bytes if outcome else 0,
        worker=job.worker,
        attempts=job.attempts,
        submitted_at=job.submitted_at,
        started_at=attempt.claimed_at if attempt else None,
        ended_at=job.ended_at,
        value=outcome.value if outcome else None,
    )
