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


def complete_key(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The settings that begin like this."""
    from relayq.config import SETTINGS

    return [key for key in ("home", *(setting.key for setting in SETTINGS)) if key.startswith(incomplete)]


@command.command("show")
@click.argument("key", required=False, shell_complete=complete_key)
@click.option("--secrets", is_flag=True, help="With the broker's password.")
@json_option
@pass_app
def show(app: App, key: str | None, secrets: bool, as_json: bool) -> int:
    """Show all settings, and where each comes from; with a KEY only its value, for use in $(…).

    Exits with 1, and prints nothing, if KEY is not set and has no default. --json prints {key: {"value", "source"}}.
    """
    from relayq.cli.exits import NEGATIVE
    from relayq.cli.screen import message, say, say_json
    from relayq.config import NOT_SET, row, rows

    found = rows(app.settings, secrets) if key is None else [(key, *row(app.settings, key, secrets))]
    missing = key is not None and found[0][1] == NOT_SET
    if as_json:
        say_json({name: {"value": value, "source": source} for name, value, source in found})
    elif missing:
        message(f"{key} is not set. See: relayq config show")
    elif key is not None:
        say(found[0][1])
    else:
        width = max(len(name) for name, _, _ in found)
        for name, value, source in found:
            say(f"{name.ljust(width)}  {value}" + (f"  ({source})" if source != "default" else ""))
    return NEGATIVE if missing else 0


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
