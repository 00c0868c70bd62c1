"""`relayq down`: stop what `relayq up` started."""

from __future__ import annotations

import click

from relayq.cli.context import App, pass_app
from relayq.cli.options import json_option


@click.command("down")
@json_option
@pass_app
def command(app: App, as_json: bool) -> None:
    """Stop the worker, its jobs, the server and the broker that `relayq up` started on this machine.

    Running jobs are ended and given back: they run again after the next `relayq up`, as does what waits.

    --json prints {"worker" (its name, or null if none ran), "broker", "server" (whether they ran), "ended_jobs":
    count}.
    """
    from relayq.cli import local
    from relayq.cli.screen import message, say_json

    stopped = local.down(app.settings)
    if as_json:
        ran = {"broker": stopped.broker, "server": stopped.server}
        return say_json({"worker": stopped.worker, **ran, "ended_jobs": stopped.ended_jobs})
    what = [f"the worker {stopped.worker}"] if stopped.worker else []
    what += ["the server"] if stopped.server else []
    what += ["the broker"] if stopped.broker else []
    message(f"stopped {', '.join(what)}" if what else "nothing was up")
    if stopped.ended_jobs:
        jobs = "1 running job was" if stopped.ended_jobs == 1 else f"{stopped.ended_jobs} running jobs were"
        message(f"{jobs} ended and will run again after the next `relayq up`")
    return None
