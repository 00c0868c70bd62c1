"""`relayq show`: everything about one job, in plain words."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

import click

from relayq.cli.complete import complete_job
from relayq.cli.context import App, pass_app
from relayq.cli.options import json_option
from relayq.supervisor.output import MAX_OUTPUT_BYTES

if TYPE_CHECKING:
    from relayq.model import Attempt, Job, JobSpec
    from relayq.store import Store


@click.command("show")
@click.argument("id", shell_complete=complete_job)
@json_option
@pass_app
def command(app: App, id: str, as_json: bool) -> None:
    """Show everything about a job. Of its environment only the names are shown. --json prints a Job with Kept."""
    from relayq.cli.records import job_record, kept_record
    from relayq.cli.screen import say, say_json, say_pairs

    handle = app.job(id)
    job = handle.job()
    kept = _kept(job, app.store)
    if as_json:
        return say_json(job_record(job) | kept_record(job, kept))
    now, workers = app.store.workers()
    from relayq.monitoring import explain

    say_pairs(_pairs(job, explain(job, workers, now).sentence, kept))
    for attempt in job.attempts:
        say(f"  {_told(attempt, now)}")
    return None


def _kept(job: Job, store: Store) -> tuple[int, int] | None:
    """How much of the last attempt's stdout and stderr is kept. The output is read only if not all of it can be."""
    outcome = job.attempt.outcome if job.attempt else None
    if outcome is None:
        return None
    if job.output_dropped:
        return 0, 0
    if outcome.stdout_bytes + outcome.stderr_bytes <= min(job.spec.max_output_bytes, MAX_OUTPUT_BYTES):
        return outcome.stdout_bytes, outcome.stderr_bytes
    chunks = store.output(job.id, attempt=job.attempts[-1].number).chunks
    stdout, stderr = (sum(len(chunk.data) for chunk in chunks if chunk.stream == stream) for stream in (1, 2))
    return stdout, stderr


def _output(name: str, produced: int, kept: int) -> str:
    return f"{produced} bytes {name}" + (f", {kept} kept" if kept < produced else "")


def _pairs(job: Job, sentence: str, kept: tuple[int, int] | None) -> dict[str, str | None]:
    from relayq.monitoring import duration

    attempt = job.attempt
    outcome = attempt.outcome if attempt else None
    output = None
    if job.output_dropped:
        output = "removed, to keep the output of all jobs within its budget"
    elif outcome is not None and kept is not None:
        output = "; ".join(
            [_output("stdout", outcome.stdout_bytes, kept[0]), _output("stderr", outcome.stderr_bytes, kept[1])]
        )
    waited = job.attempts[0].claimed_at - job.submitted_at if job.attempts else None
    return {
        "job": job.id,
        "state": str(job.state),
        "": sentence,
        **_asked(job.spec),
        "again": f"a retry of {job.retry_of}" if job.retry_of else None,
        "submitted": _instant(job.submitted_at),
        "waited": duration(waited) if waited is not None else None,
        "ended": _instant(job.ended_at) if job.ended_at else None,
        "output": output,
        "attempts": str(len(job.attempts)) if job.attempts else None,
    }


def _asked(spec: JobSpec) -> dict[str, str | None]:
    command = shlex.join(spec.command) if isinstance(spec.command, tuple) else spec.command
    limits = {
        "timeout": f"{spec.timeout:g} s" if spec.timeout else None,
        "queue timeout": f"{spec.queue_timeout:g} s" if spec.queue_timeout else None,
        "retries": str(spec.retries) if spec.retries else None,
        "priority": str(spec.priority) if spec.priority else None,
        "on lost": str(spec.on_lost) if spec.on_lost != "requeue" else None,
        "freeze": None if spec.freeze else "never",
    }
    return {
        "name": spec.name,
        "kind": spec.kind if spec.kind != "command" else None,
        "command": command or (spec.title if spec.kind != "command" else None),
        "script": f"{len(spec.script)} characters" if spec.script else None,
        "stdin": f"{len(spec.stdin)} bytes" if spec.stdin else None,
        "folder": spec.cwd,
        "environment": ", ".join(sorted(spec.env)) or None,
        "on": spec.on,
        "needs": ", ".join(spec.needs) or None,
        "prefers": ", ".join(spec.prefer) or None,
        **limits,
    }


def _told(attempt: Attempt, now: float) -> str:
    from relayq.monitoring import duration

    start = f"{attempt.number}: on {attempt.worker} at {_instant(attempt.claimed_at)}"
    outcome = attempt.outcome
    if outcome is None or attempt.ended_at is None:
        lost = "; its machine has lost contact" if attempt.offered_at else ""
        return f"{start}, has been running for {duration(now - attempt.claimed_at)}{lost}"
    how = str(outcome.reason).replace("_", " ")
    if outcome.signal is not None:
        how += f" by signal {outcome.signal}"
    elif outcome.exit_code is not None:
        how += f" with {outcome.exit_code}"
    took = duration(outcome.duration if outcome.duration is not None else attempt.ended_at - attempt.claimed_at)
    return f"{start}, {how} after {took}" + (f": {outcome.message}" if outcome.message else "")


def _instant(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
