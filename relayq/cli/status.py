"""`relayq status`: the broker, the workers and what waits, on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from relayq.cli.context import App, pass_app
from relayq.cli.options import json_option

if TYPE_CHECKING:
    from relayq.cli.snapshot import Snapshot

REASONS = 8  #: lines about that


@click.command("status")
@json_option
@pass_app
def command(app: App, as_json: bool) -> int:
    """Show the broker, the workers and what waits, and why.

    \b
    --json prints
      {"broker": {"url" (password masked), "source", "online", "error"},
       "online" (whether any worker is),
       "total_workers", "total_active", "total_queued",
       "jobs": {state: count}, "workers": {name: Worker},
       "running": [{"id", "title", "worker", "started_at", "progress",
                    "progress_message"}],
       "waiting": [{"count", "example" (an id), "lane", "sentence"}]}

    If the broker does not answer, it prints what is known and exits with 4 (5 if it refuses).
    """
    from relayq.cli.exits import code_for
    from relayq.cli.records import worker_records
    from relayq.cli.screen import message, say_json
    from relayq.cli.snapshot import Snapshot
    from relayq.config import mask
    from relayq.errors import BrokerUnavailable
    from relayq.monitoring import away

    settings = app.settings
    broker = {"url": settings.broker_url and mask(settings.broker_url), "source": settings.broker_source}
    failure: BrokerUnavailable | None = None
    running: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []
    now = 0.0
    try:
        seen = Snapshot(app.store)
        now, status, running, waiting = seen.now, seen.status(), _running(seen), _waiting(seen)
    except BrokerUnavailable as error:
        failure, status = error, away(error)
    data = {
        "broker": {**broker, "online": failure is None, "error": str(failure) if failure else None},
        "online": status["online"],
        **{key: status[key] for key in ("total_workers", "total_active", "total_queued")},
        "jobs": status.get("jobs", {}),
        "workers": worker_records(status),
        "running": running,
        "waiting": waiting,
    }
    if as_json:
        say_json(data)
    else:
        _show(data, now)
    if failure is None:
        return 0
    message(str(failure))
    return code_for(failure)


def _running(seen: Snapshot) -> list[dict[str, Any]]:
    from relayq.cli.records import job_record

    keys = ("id", "title", "worker", "started_at", "progress", "progress_message")
    return [{key: record[key] for key in keys} for record in map(job_record, reversed(seen.running))]


def _waiting(seen: Snapshot) -> list[dict[str, Any]]:
    """Why jobs wait, each reason once."""
    from relayq.monitoring import explain

    reasons: dict[tuple[str, bool], dict[str, Any]] = {}
    for job in reversed(seen.waiting):
        later = job.not_before is not None and job.not_before > seen.now
        reason = reasons.setdefault((job.lane, later), {"count": 0, "example": job.id, "lane": job.lane})
        reason["count"] += 1
        if reason["count"] == 1:
            reason["sentence"] = explain(job, seen.states, seen.now).sentence
    return list(reasons.values())


def _show(data: dict[str, Any], now: float) -> None:
    from relayq.cli.screen import say
    from relayq.cli.workers import say_workers

    broker = data["broker"]
    say(f"broker   {broker['url'] or 'none'}")
    if not broker["online"]:
        return
    online = sum(1 for worker in data["workers"].values() if worker["online"])
    jobs = data["jobs"]
    say(f"workers  {online} of {data['total_workers']} online")
    say(f"jobs     {', '.join(f'{jobs[state]} {state}' for state in jobs if jobs[state]) or 'none yet'}")
    say("")
    say_workers(data["workers"])
    _show_running(data["running"], now)
    for number, reason in enumerate(data["waiting"]):
        if number == 0:
            say("")
        if number == REASONS:
            say(f"and {len(data['waiting']) - REASONS} more reasons. See: relayq list --state queued")
            break
        more = f" ({reason['count'] - 1} more like it)" if reason["count"] > 1 else ""
        say(f"{reason['sentence']}{more}")


def _show_running(running: list[dict[str, Any]], now: float) -> None:
    """What runs where, for how long, and how far it says it is."""
    from relayq.cli.screen import say, say_table
    from relayq.monitoring import duration
    from relayq.progress import Progress

    if not running:
        return
    rows = [("RUNNING", "WORKER", "FOR", "PROGRESS", "WHAT")]
    for job in running[:REASONS]:
        progress = str(Progress(job["progress"], job["progress_message"]))
        rows.append(
            (job["id"], job["worker"], duration(now - job["started_at"]), progress, " ".join(job["title"].split()))
        )
    say("")
    say_table(rows, names=(0, 1))
    if len(running) > REASONS:
        say(f"and {len(running) - REASONS} more. See: relayq list --state running")
