"""`relayq version`: what runs here."""

from __future__ import annotations

import platform

import click

from relayq.cli.options import json_option


@click.command("version")
@json_option
def command(as_json: bool) -> None:
    """Print the version. --json prints {"relayq", "python", "system"}."""
    from relayq import __version__
    from relayq.cli.screen import say, say_json

    if as_json:
        say_json({"relayq": __version__, "python": platform.python_version(), "system": platform.platform()})
    else:
        say(f"relayq {__version__}")
