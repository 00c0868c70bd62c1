"""`relayq completion`: what a shell needs to complete verbs, options, job ids and workers."""

from __future__ import annotations

import click

HOW = {
    "bash": "relayq completion bash >> ~/.bashrc",
    "zsh": "relayq completion zsh >> ~/.zshrc",
    "fish": "relayq completion fish > ~/.config/fish/completions/relayq.fish",
}


@click.command("completion")
@click.argument("shell", type=click.Choice(list(HOW)))
def command(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    relayq completion bash >> ~/.bashrc
    relayq completion zsh >> ~/.zshrc
    relayq completion fish > ~/.config/fish/completions/relayq.fish
    """
    from click.shell_completion import get_completion_class

    from relayq.cli.app import cli

    kind = get_completion_class(shell)
    assert kind is not None
    # Not `source()`: for bash it first looks which one this machine has, but the script may be for another.
    script = kind(cli, {}, "relayq", "_RELAYQ_COMPLETE")
    click.echo(script.source_template % script.source_vars())
