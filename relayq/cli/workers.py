"""`relayq workers`: which machines there are, and what they offer."""

from __future__ import annotations

from typing import Any

import click

from relayq.cli.context import App, pass_app
from relayq.cli.options import json_option


@click.command("workers")
@click.option("--needs", multiple=True, metavar="LABEL,…", help="Only those that have all of these.")
@json_option
@pass_app
def command(app: App, needs: tuple[str, ...], as_json: bool) -> int:
    """List the workers and what they offer: labels and capabilities.

    Exits with 1 if --needs is given and no worker has it. --json prints {name: Worker}.
    """
    from relayq.cli.exits import NEGATIVE
    from relayq.cli.records import worker_records
    from relayq.cli.screen import message, say_json
    from relayq.cli.snapshot import Snapshot

    wanted = {word.strip() for text in needs for word in text.split(",") if word.strip()}
    every = worker_records(Snapshot(app.store).status())
    workers = {name: w for name, w in every.items() if wanted <= {*w["labels"], *w["capabilities"]}}
    if as_json:
        say_json(workers)
    elif workers or not every:
        say_workers(workers, capabilities=True)
    if every and not workers:
        message(f"no worker has {' and '.join(sorted(wanted))}. See: relayq workers")
    return NEGATIVE if wanted and not workers else 0


def say_workers(workers: dict[str, dict[str, Any]], *, capabilities: bool = False) -> None:
    """The table of workers, by name."""
    from relayq.cli.screen import message, say, say_table

    if not workers:
        message("no worker has joined yet. Start one with: relayq worker")
        return
    rows = [("WORKER", "STATE", "SLOTS", "RUNNING", "WAITING", "OFFERS" if capabilities else "LABELS")]
    for name, w in workers.items():
        offers = " ".join([*w["labels"], *(w["capabilities"] if capabilities else ())])
        numbers = (str(w["slots"]), str(w["active_jobs"]), str(w["queued_jobs"]))
        rows.append((name, w["state"], *numbers, offers))
    say_table(rows, "STATE", names=(0,), wrap=True)
    resting = [f"{name} {w['why']}" for name, w in workers.items() if w["why"]]
    if resting:
        say("")
    for sentence in resting:
        say(sentence)
