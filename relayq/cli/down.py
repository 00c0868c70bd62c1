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

    --json prints {"worker" (its name, or null if none ran), "broker" (whether it ran), "ended_jobs": count}.
    """
    from relayq.cli import local
    from relayq.cli.screen import message, say_json

    stopped = local.down(app.settings)
    if as_json:
        return say_json({"worker": stopped.worker, "broker": stopped.broker, "ended_jobs": stopped.ended_jobs})
    if not stopped.worker and not stopped.broker:
        message("nothing was up")
    else:
        message("relayq is down")
    if stopped.ended_jobs:
        message(f"running jobs that were ended: {stopped.ended_jobs}. They run again after the next `relayq up`")
    return None
