"""`relayq backup FILE`: the store in a file."""

from __future__ import annotations

from pathlib import Path

import click

from relayq.cli.context import App, pass_app
from relayq.cli.options import json_option
from relayq.cli.screen import message, say_json
from relayq.config import Settings
from relayq.errors import BrokerRefused


@click.command("backup")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@json_option
@pass_app
def command(app: App, file: Path, as_json: bool) -> None:
    """Save all jobs, their output, tokens and machines in FILE, while everything goes on.

    The file is of one moment, and readable for you only. `relayq restore FILE` brings it back. On the broker's machine.
    --json prints {"file", "bytes"}.
    """
    from relayq.setup import backup

    size = backup.save(administrator(app.settings), file.absolute())
    if as_json:
        say_json({"file": str(file), "bytes": size})
    else:
        message(f"saved in {file} ({size} bytes)")


def administrator(settings: Settings) -> str:
    """The URL with the most rights. Raises BrokerRefused if no broker is configured."""
    url = settings.admin_url or settings.broker_url
    if url is None:
        raise BrokerRefused("no broker is configured. Do this on the broker's machine, or start one: relayq up")
    return url
