"""`relayq pause`: a worker takes nothing new for a while."""

from __future__ import annotations

import click

from relayq.cli.complete import complete_worker
from relayq.cli.context import App, pass_app
from relayq.cli.options import DURATION, json_option
from relayq.cli.resting import say_worker


@click.command("pause")
@click.argument("worker", shell_complete=complete_worker)
@click.option("--for", "seconds", type=DURATION, help="It ends by itself: 10m, 1h. [default: until resumed]")
@click.option("--note", help="Why; shown wherever its state is.")
@json_option
@pass_app
def command(app: App, worker: str, seconds: float | None, note: str | None, as_json: bool) -> None:
    """Have a worker take nothing new; what runs there goes on. --json prints its Worker."""
    from relayq.cli.resting import who

    app.store.pause(worker, seconds=seconds, by=who(), note=note)
    say_worker(app, worker, as_json)
