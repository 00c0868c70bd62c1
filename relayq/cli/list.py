"""`relayq list`: jobs, newest first."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from relayq.cli.complete import complete_job, complete_worker
from relayq.cli.context import App, pass_app
from relayq.cli.options import json_option

if TYPE_CHECKING:
    from relayq.model import Job, State

STATES = ("queued", "running", "succeeded", "failed", "cancelled")


@click.command("list")
@click.option("--state", "states", multiple=True, metavar="STATE,…", help=f"Only these: {', '.join(STATES)}.")
@click.option(
    "--worker", "--on", "worker", metavar="WORKER", shell_complete=complete_worker, help="Only what ran there."
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many.")
@click.option("--before", metavar="ID", shell_complete=complete_job, help="Only what was submitted before this job.")
@json_option
@pass_app
def command(
    app: App, states: tuple[str, ...], worker: str | None, limit: int, before: str | None, as_json: bool
) -> None:
    """List jobs, newest first. --json prints one array of Job."""
    from relayq.cli.records import job_record
    from relayq.cli.screen import message, say_json, say_table

    wanted = _states(states)
    place = app.job(before).job().place if before else None
    jobs = app.store.page(states=wanted, worker=worker, before=place, limit=limit)
    if as_json:
        say_json([job_record(job) for job in jobs])
    elif not jobs:
        message("there are no such jobs" if states or worker or before else "there are no jobs yet")
    else:
        now = time.time()
        rows = [_row(job, now) for job in jobs]
        say_table([("ID", "STATE", "WORKER", "SUBMITTED", "TOOK", "WHAT"), *rows], "STATE", names=(0, 2))
        if len(jobs) == limit and sys.stdout.isatty():
            message(f"there may be more: relayq list --before {jobs[-1].id}")


def _row(job: Job, now: float) -> tuple[str, ...]:
    from relayq.monitoring import clock_time, duration, progress_of
    from relayq.progress import percent

    attempt = job.attempt
    took = ""
    if attempt is not None and job.state != "queued":
        took = duration((attempt.ended_at or now) - attempt.claimed_at)
    title = " ".join(job.spec.title.split())
    said = progress_of(job)
    state = f"{job.state} {percent(said.fraction if said else None)}".rstrip()
    return job.id, state, job.worker or "", clock_time(job.submitted_at, now), took, title


def _states(given: tuple[str, ...]) -> list[State]:
    from relayq.model import State

    words = [word.strip() for text in given for word in text.split(",") if word.strip()]
    for word in words:
        if word not in STATES:
            raise click.UsageError(f"--state is {word!r}; it must be one of: {', '.join(STATES)}")
    return [State(word) for word in words] or list(State)
