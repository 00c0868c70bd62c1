"""`relayq up`: a broker, a worker and the dashboard on this machine."""

from __future__ import annotations

import click

from relayq.cli.context import App, pass_app
from relayq.cli.options import json_option


@click.command("up")
@click.option("--port", type=click.IntRange(1, 65535), help="The broker's port. [default: the last one, or a free one]")
@click.option("--slots", type=click.IntRange(1, 1024), help="How many jobs the worker runs at once.")
@json_option
@pass_app
def command(app: App, port: int | None, slots: int | None, as_json: bool) -> None:
    """Start a broker, a worker and the dashboard on this machine, without root, and leave them running. Stop them
    with: relayq down

    What runs already is left alone. If a broker is configured (config.yml, RELAYQ_BROKER_URL) this refuses: start a
    worker for it with `relayq worker`. Exits with 1, and the end of the worker's log, if it has not joined within 15 s.

    --json prints {"started", "broker": {"url" (password masked), "port", "pid", "started"},
    "worker": {"name", "slots", "pid", "started"}, "server": {"url", "port", "pid"} or null}.
    """
    from relayq import calling
    from relayq.cli import local
    from relayq.cli.screen import message, say, say_json
    from relayq.config import mask

    there = local.up(app.settings, port=port, slots=slots)
    broker = there.broker
    started = there.started or broker.started
    if port not in (None, broker.port) or slots not in (None, there.slots):
        message("what runs already keeps its port and slots. To change them: relayq down, then relayq up again")
    if as_json:
        url = {"url": mask(broker.url), "port": broker.port, "pid": broker.pid, "started": broker.started}
        worker = {"name": there.worker, "slots": there.slots, "pid": there.pid, "started": there.started}
        server = there.server and {"url": there.server.url, "port": there.server.port, "pid": there.server.pid}
        return say_json({"started": started, "broker": url, "worker": worker, "server": server})
    state = "up" if started else "up already"
    many = f"{there.slots} slot" if there.slots == 1 else f"{there.slots} slots"
    say(f"relayq is {state}: a broker on port {broker.port}, and the worker {there.worker} with {many}.")
    if there.server:
        say(f"The dashboard is at {there.server.url}; to sign in: {calling.command()} dashboard")
    else:
        message(str(there.no_server))
    say("")
    for line in calling.examples(
        ("run -- echo hello", "run something, see its output"),
        ("status", "see what there is"),
        ("down", "stop it; what waits is kept"),
    ):
        say(f"  {line}")
    return None
