"""`relayq resume`: a worker takes jobs again."""

from __future__ import annotations

import click

from relayq.cli.complete import complete_worker
from relayq.cli.context import App, pass_app
from relayq.cli.options import json_option
from relayq.cli.resting import say_worker


@click.command("resume")
@click.argument("worker", shell_complete=complete_worker)
@json_option
@pass_app
def command(app: App, worker: str, as_json: bool) -> None:
    """Let a worker take jobs again: after a pause, a drain or in quarantine. --json prints its Worker."""
    app.store.resume(worker)
    say_worker(app, worker, as_json)
