"""`relayq submit`: queue a command and print its id."""

from __future__ import annotations

from typing import Any

import click

from relayq.cli.context import App, pass_app
from relayq.cli.options import command_of, job_options, json_option, spec_options


@click.command("submit", context_settings={"allow_interspersed_args": False})
@job_options
@click.option("--id", metavar="ID", help="The job's id: the same id again is the same job.")
@json_option
@click.argument("words", nargs=-1, metavar="-- COMMAND…", type=click.UNPROCESSED)
@pass_app
def command(app: App, /, words: tuple[str, ...], id: str | None, as_json: bool, **given: Any) -> None:
    """Queue a command, print the job's id and nothing else. Words and options as for `relayq run`.

    --json prints {"id": …}.
    """
    from relayq.cli.screen import say, say_json
    from relayq.spec import make_spec

    spec = make_spec(command_of(words, given), **spec_options(given))
    [handle] = app.client.submit([spec], queue_anyway=given["queue_anyway"], ids=[id] if id else None)
    if as_json:
        say_json({"id": handle.id})
    else:
        say(handle.id)
