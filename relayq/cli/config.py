"""`relayq config`: the settings of this machine and where they come from."""

from __future__ import annotations

import click

from relayq.cli.context import App, pass_app
from relayq.cli.options import json_option


@click.group("config", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Show the settings (as `relayq config show`). Asks no broker."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(show)


@command.command("show")
@click.option("--secrets", is_flag=True, help="With the broker's password.")
@json_option
@pass_app
def show(app: App, secrets: bool, as_json: bool) -> None:
    """Show all settings, and where each comes from. --json prints {key: {"value", "source"}}."""
    from relayq.cli.screen import say, say_json
    from relayq.config import rows

    found = rows(app.settings, secrets)
    if as_json:
        return say_json({key: {"value": value, "source": source} for key, value, source in found})
    width = max(len(key) for key, _, _ in found)
    for key, value, source in found:
        say(f"{key.ljust(width)}  {value}" + (f"  ({source})" if source != "default" else ""))
    return None


@command.command("path")
@json_option
@pass_app
def path(app: App, as_json: bool) -> None:
    """Print where the configuration file is, or would be. --json prints {"path", "exists"}."""
    from relayq.cli.screen import say, say_json

    file = app.settings.home / "config.yml"
    if as_json:
        say_json({"path": str(file), "exists": file.exists()})
    else:
        say(str(file))
