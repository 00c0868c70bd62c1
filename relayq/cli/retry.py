"""`relayq retry`: the same again, as a new job."""

from __future__ import annotations

import click

from relayq.cli.complete import complete_job
from relayq.cli.context import App, pass_app
from relayq.cli.options import json_option


@click.command("retry")
@click.argument("ids", nargs=-1, required=True, metavar="ID…", shell_complete=complete_job)
@json_option
@pass_app
def command(app: App, ids: tuple[str, ...], as_json: bool) -> int:
    """Queue jobs that ask for the same as these, and print their ids; what has ended is never reopened.

    Exits with 3 if an id is unknown or ambiguous; the others are queued all the same. --json prints
    {"id": …, "retry_of": …} a line.
    """
    from relayq.cli.screen import say, say_json

    jobs, code = app.jobs(ids)
    for old in jobs:
        new = old.retry()
        if as_json:
            say_json({"id": new.id, "retry_of": old.id})
        else:
            say(new.id)
    return code
