"""`relayq drain`: a worker finishes what it runs and takes nothing new."""

from __future__ import annotations

import click

from relayq.cli.complete import complete_worker
from relayq.cli.context import App, pass_app
from relayq.cli.options import DURATION, json_option
from relayq.cli.resting import say_worker


@click.command("drain")
@click.argument("worker", shell_complete=complete_worker)
@click.option(
    "--wait", "patience", type=DURATION, help="Wait so long until nothing runs there; exits with 1 if it does."
)
@click.option("--note", help="Why; shown wherever its state is.")
@json_option
@pass_app
def command(app: App, worker: str, patience: float | None, note: str | None, as_json: bool) -> int:
    """Have a worker finish what it runs and take nothing new, until `relayq resume`. --json prints its Worker."""
    from relayq.cli.exits import NEGATIVE
    from relayq.cli.resting import drained, who

    app.store.pause(worker, draining=True, by=who(), note=note)
    done = patience is None or drained(app, worker, patience)
    say_worker(app, worker, as_json)
    return 0 if done else NEGATIVE
