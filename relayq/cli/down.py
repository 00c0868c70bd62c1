"""`relayq down`: stop what `relayq up` started."""

from __future__ import annotations

import click

from relayq.cli.context import App, pass_app
from relayq.cli.options import json_option


@click.command("down")
@json_option
@pass_app
def command(app: App, as_json: bool) -> None:
    """Stop the worker, its jobs and the broker that `relayq up` started on this machine.

    Running jobs are ended and given back: they run again after the next `relayq up`, as does what waits.

    --json prints {"worker" (its name, or null if none ran), "broker" (whether it ran), "given_back": [id]}.
    """
    from relayq.cli import local
    from relayq.cli.screen import message, say_json

    stopped = local.down(app.settings)
    if as_json:
        worker, given_back = stopped.worker, list(stopped.given_back)
        return say_json({"worker": worker, "broker": stopped.broker, "given_back": given_back})
    if not stopped.worker and not stopped.broker:
        message("nothing was up")
    else:
        message("relayq is down")
    if stopped.given_back:
        message(f"these jobs were ended and run again after the next `relayq up`: {' '.join(stopped.given_back)}")
    return None
