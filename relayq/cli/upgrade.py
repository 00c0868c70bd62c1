"""`relayq upgrade`: the newest version, or none."""

from __future__ import annotations

import click

from relayq.cli.options import json_option


@click.command("upgrade")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@json_option
@click.pass_context
def command(ctx: click.Context, dry_run: bool, as_json: bool) -> None:
    """Install the broker's version of relayq (on the broker's machine: the repository's) and let it run.

    The broker goes first, then the workers; a worker's jobs go on meanwhile. If the new version does not prove itself,
    the one before runs again. --json prints {"changed", "from", "to"}.
    """
    from relayq.cli.screen import say, say_json
    from relayq.cli.setup import again_as_root, effects_of
    from relayq.setup import installation, upgrade, venvs

    here = installation.find()
    again_as_root(ctx, here, dry_run)
    old = venvs.version_of(venvs.target(here.places.current))
    changed = upgrade.upgrade(here, effects_of(here.places, here.role, dry_run))
    new = venvs.version_of(venvs.target(here.places.current))
    if as_json:
        say_json({"changed": changed, "from": old, "to": new})
    elif not dry_run:
        say(
            f"relayq {new} runs here now (before: {old})"
            if changed
            else f"relayq {new} is the newest; nothing was done"
        )
