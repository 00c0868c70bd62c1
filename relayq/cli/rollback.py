"""`relayq rollback`: the version before the last upgrade."""

from __future__ import annotations

import click

from relayq.cli.options import json_option


@click.command("rollback")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@json_option
@click.pass_context
def command(ctx: click.Context, dry_run: bool, as_json: bool) -> None:
    """Let the version run again that ran before the last upgrade; a second time goes forward again.

    --json prints {"from", "to"}.
    """
    from relayq.cli.screen import say, say_json
    from relayq.cli.setup import again_as_root, effects_of
    from relayq.setup import installation, upgrade, venvs

    here = installation.find()
    again_as_root(ctx, here, dry_run)
    old = venvs.version_of(venvs.target(here.places.current))
    new = venvs.version_of(upgrade.roll_back(here, effects_of(here.places, here.role, dry_run)))
    if as_json:
        say_json({"from": old, "to": new})
    elif not dry_run:
        say(f"relayq {new} runs here again (before: {old})")
