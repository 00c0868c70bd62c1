"""A job as its user sees it: wait for it, read it, cancel it; from any process, by its id."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from relayq import monitoring
from relayq.errors import BrokerRefused, BrokerUnavailable, JobFailed, OutputTruncated, ResultTimeout, UnknownJob
from relayq.model import Chunk, Job, Output, Result, State

if TYPE_CHECKING:
    from relayq.client import Client


class JobHandle:
    """A job's id and the means to ask after it. Cheap; nothing is read before it is asked for."""

    def __init__(self, client: Client, id: str, *, expected: bool = False) -> None:
        self.id = id
        self._client = client
        self._expected = expected  #: our inbox will hear of its end
        self._last: Job | None = None  #: the record of its end
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
            raise JobFailed(self._sentence(), result)
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
            watcher = self._client.watcher
            deadline = None if timeout is None else time.monotonic() + timeout
            self.expect()
            if not watcher.wait(self.heard, deadline):
                raise ResultTimeout(f"job {self.id} has not ended within {timeout:g} s; it goes on. See: explain()")
            ended = watcher.ended(self.id)
            assert ended is not None
            chunks = self._client.store.output(self.id).chunks if ended.chunks is None else ended.chunks
            self._last, self._result = ended.job, result_of(ended.job, chunks)
            watcher.forget(self.id)
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
        if self._last is not None:
            return self._last
        [job] = self._client.store.get([self.id])
        if job is None:
            raise UnknownJob(f"no job has the id {self.id}: finished jobs are kept for a week. See: relayq list")
        return job

    @property
    def state(self) -> State:
        """Where it is in its life."""
        return self.job().state

    @property
    def info(self) -> dict[str, Any]:
        """`{"progress": 0…1 or None, "message": str or None}` while it runs; empty otherwise."""
        if self.job().state is not State.RUNNING:
            return {}
        progress, message = self._client.store.progress(self.id)
        return {"progress": progress, "message": message}

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

    def logs(self, *, follow: bool = False, stream: int | None = None) -> Iterator[str]:
        """Its output, line by line, newline kept; with `follow` until it ends. `stream`: 1 stdout, 2 stderr."""
        ends = {1: "", 2: ""}
        for chunk in self.chunks(follow=follow):
            if stream not in (None, chunk.stream):
                continue
            *lines, ends[chunk.stream] = (ends[chunk.stream] + chunk.data.decode("utf-8", "replace")).split("\n")
            yield from (f"{line}\n" for line in lines)
        yield from (rest for rest in ends.values() if rest)

    def chunks(self, *, follow: bool = False) -> Iterator[Chunk]:
        """Its output as bytes in the order it came; with `follow` until it ends, over all attempts from the current."""
        watcher = self._client.watcher
        if follow:
            self.expect()
            watcher.watch([self.id], output=True)
        attempt: int | None = None
        position = 0
        while True:
            heard, over = watcher.outputs(self.id), self.heard()
            try:
                output = self._client.store.output(self.id, attempt=attempt, position=position)
            except BrokerRefused:
                raise
            except BrokerUnavailable:
                if not follow:
                    raise
                # The watcher says so once, and waits for the broker; then the reading goes on where it was.
                watcher.wait(lambda: False, time.monotonic() + 1.0)
                continue
            yield from output.chunks
            position = output.next
            # Attempt 0 is none yet; a job that is tried again goes on with its next attempt.
            attempt = output.attempt or None
            if not follow or (over and not self._goes_on(output)):
                return
            if self._goes_on(output):
                attempt, position = (attempt or 0) + 1, 0
                continue
            watcher.wait(lambda h=heard: watcher.outputs(self.id) != h or self.heard(), time.monotonic() + 2.0)  # type: ignore[misc]

    def _goes_on(self, output: Output) -> bool:
        if not output.ended or not output.attempt:
            return False
        last = self.job().attempt
        return last is not None and last.number > output.attempt

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
        if not self._expected:
            self.job()  # so that waiting for a job that does not exist is an error, not for ever
            self._client.watcher.watch([self.id])
            self._expected = True

    def heard(self) -> bool:
        """Whether news of its end has come; asks nobody."""
        return self._last is not None or self._client.watcher.ended(self.id) is not None

    def _sentence(self) -> str:
        return f"job {self.id} {monitoring.ending(self.job())}"


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
