"""`relayq explain`: why a job is where it is."""

from __future__ import annotations

import click

from relayq.cli.complete import complete_job
from relayq.cli.context import App, pass_app
from relayq.cli.options import json_option


@click.command("explain")
@click.argument("id", shell_complete=complete_job)
@json_option
@pass_app
def command(app: App, id: str, as_json: bool) -> None:
    """Say why a job is where it is: a sentence for the job and, until it has ended, one for each machine.

    --json prints {"id", "state", "sentence", "machines": {name: sentence}}.
    """
    from relayq.cli.records import explanation_record
    from relayq.cli.screen import say, say_json
    from relayq.monitoring import explain

    job = app.job(id).job()
    now, workers = app.store.workers()
    explanation = explain(job, workers, now)
    if as_json:
        say_json(explanation_record(job, explanation))
    else:
        say(str(explanation))
