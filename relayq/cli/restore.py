"""`relayq restore FILE`: what `relayq backup` saved, back in the store."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from relayq.cli.backup import administrator
from relayq.cli.context import App, pass_app
from relayq.cli.options import json_option
from relayq.cli.screen import message, say_json
from relayq.errors import Refused


@click.command("restore")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--yes", is_flag=True, help="Replace what the store holds now.")
@json_option
@pass_app
def command(app: App, file: Path, yes: bool, as_json: bool) -> None:
    """Replace what the broker holds by what FILE holds: jobs, output, tokens, machines.

    Workers that are at work go on and say what they run, as after a restart of the broker. On the broker's machine.
    --json prints {"file", "keys"}.
    """
    from relayq.setup import backup
    from relayq.store.backup import holds

    url = administrator(app.settings)
    about = backup.about(file)
    there = holds(url)
    if there and not yes:
        when = datetime.fromtimestamp(float(str(about["at"]))).strftime("%d %b %Y %H:%M")
        raise Refused(
            f"the broker holds {there} jobs, which would be replaced by the {about['jobs']} of {when}. "
            "Save them first (relayq backup), then say --yes"
        )
    count = backup.restore(url, file)
    if as_json:
        say_json({"file": str(file), "keys": count})
    else:
        message(f"restored {about['jobs']} jobs from {file}")
