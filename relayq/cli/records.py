"""Records as `--json` shows them. Keys are only ever added; instants are seconds since the epoch, lengths seconds.

Job       id, title, state, reason, message, exit_code, signal, exit (what `relayq wait` would exit with), worker,
          kind, command (a str for the shell, or the argv), on, needs, prefer, cwd, env (names only), name, timeout,
          queue_timeout, retries, priority, on_lost, freeze, submitted_at, started_at, ended_at, not_before,
          cancel_requested_at, progress (0 … 1) and progress_message (while it runs and says so), duration,
          stdout_bytes, stderr_bytes, output_dropped, value (what a transcode answers), losses, failures, retry_of,
          attempts
Attempt   number, worker, started_at, ended_at, reason, exit_code, signal, message, duration, stdout_bytes,
          stderr_bytes
Worker    name, type, state, online, slots, active_jobs, queued_jobs, total_jobs, labels, capabilities, host, system,
          version, pid, seen_at, load, why (it takes nothing new, or is away; else null), found (a Capability each, also
          what does not work), facts (os, arch, model, cores; memory, disk, disk_free in bytes)
Capability  name, version, works, why_not
Kept      stdout_kept, stderr_kept (bytes of the last attempt's output that can be had), truncated (whether that is
          less than was printed)
Piece     stream (stdout or stderr), offset, text; or base64 where it is no UTF-8

What is not known (yet) is null.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from relayq.cli.exits import code_of

if TYPE_CHECKING:
    from relayq.forecast import Forecast
    from relayq.model import Attempt, Chunk, Job
    from relayq.monitoring import Explanation, WorkerStatus

Json = dict[str, Any]


def job_record(job: Job) -> Json:
    """A Job."""
    spec, attempt = job.spec, job.attempt
    outcome = attempt.outcome if attempt else None
    return {
        "id": job.id,
        "title": spec.title,
        "state": str(job.state),
        "reason": job.reason and str(job.reason),
        "message": job.message,
        "exit_code": outcome.exit_code if outcome else None,
        "signal": outcome.signal if outcome else None,
        "exit": code_of(job) if job.state.ended else None,
        "worker": job.worker,
        "kind": spec.kind,
        "command": list(spec.command) if isinstance(spec.command, tuple) else spec.command,
        "on": spec.on,
        "needs": list(spec.needs),
        "prefer": list(spec.prefer),
        "cwd": spec.cwd,
        "env": sorted(spec.env),
        "name": spec.name,
        "timeout": spec.timeout,
        "queue_timeout": spec.queue_timeout,
        "retries": spec.retries,
        "priority": spec.priority,
        "on_lost": str(spec.on_lost),
        "freeze": spec.freeze,
        "submitted_at": job.submitted_at,
        "started_at": attempt.claimed_at if attempt else None,
        "ended_at": job.ended_at,
        "not_before": job.not_before,
        "cancel_requested_at": job.cancel_requested_at,
        "progress": attempt.progress if attempt else None,
        "progress_message": attempt.note if attempt else None,
        "duration": outcome.duration if outcome else None,
        "stdout_bytes": outcome.stdout_bytes if outcome else None,
        "stderr_bytes": outcome.stderr_bytes if outcome else None,
        "output_dropped": job.output_dropped,
        "value": outcome.value if outcome else None,
        "losses": job.losses,
        "failures": job.failures,
        "retry_of": job.retry_of,
        "attempts": [attempt_record(attempt) for attempt in job.attempts],
    }


def kept_record(job: Job, kept: tuple[int, int] | None) -> Json:
    """Kept: beside a Job, where its output was looked at. `kept` are bytes of stdout and stderr."""
    outcome = job.attempt.outcome if job.attempt else None
    if kept is None or outcome is None:
        return {"stdout_kept": None, "stderr_kept": None, "truncated": None}
    truncated = kept[0] < outcome.stdout_bytes or kept[1] < outcome.stderr_bytes
    return {"stdout_kept": kept[0], "stderr_kept": kept[1], "truncated": truncated}


def attempt_record(attempt: Attempt) -> Json:
    """An Attempt."""
    outcome = attempt.outcome
    return {
        "number": attempt.number,
        "worker": attempt.worker,
        "started_at": attempt.claimed_at,
        "ended_at": attempt.ended_at,
        "reason": str(outcome.reason) if outcome else None,
        "exit_code": outcome.exit_code if outcome else None,
        "signal": outcome.signal if outcome else None,
        "message": outcome.message if outcome else None,
        "duration": outcome.duration if outcome else None,
        "stdout_bytes": outcome.stdout_bytes if outcome else None,
        "stderr_bytes": outcome.stderr_bytes if outcome else None,
    }


def worker_records(status: WorkerStatus) -> dict[str, Json]:
    """Workers by name."""
    return {name: {"name": name, **worker} for name, worker in status["workers"].items()}


def piece_record(chunk: Chunk) -> Json:
    """A Piece."""
    record: Json = {"stream": {1: "stdout", 2: "stderr"}[chunk.stream], "offset": chunk.offset}
    try:
        return {**record, "text": chunk.data.decode()}
    except UnicodeDecodeError:
        return {**record, "base64": base64.b64encode(chunk.data).decode("ascii")}


def explanation_record(job: Job, explanation: Explanation) -> Json:
    """id, state, sentence, machines {name: sentence}."""
    return {
        "id": job.id,
        "state": str(job.state),
        "sentence": explanation.sentence,
        "machines": dict(explanation.machines),
    }


def forecast_record(forecast: Forecast) -> Json:
    """sentence, lane, refused, order, machines {name: sentence}."""
    return {
        "sentence": forecast.sentence,
        "lane": forecast.lane,
        "refused": forecast.refused,
        "order": list(forecast.order),
        "machines": dict(forecast.machines),
    }
