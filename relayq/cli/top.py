"""`relayq top`: the live view in the terminal."""

from __future__ import annotations

import sys

import click

from relayq.cli.context import App, pass_app


@click.command("top")
@pass_app
def command(app: App) -> None:
    """See machines and jobs live, and act on them: pause, drain, cancel, follow the output. q leaves.

    Needs Textual, which comes with the extra "top". Without a terminal, see: relayq status
    """
    from relayq.errors import Refused

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Refused("top needs a terminal. For one look as plain text: relayq status")
    try:
        from relayq.terminal.app import Top
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("textual", "rich"):
            raise
        raise Refused(
            f'the live view needs Textual, which is not installed: {sys.executable} -m pip install "textual>=6"'
        ) from error
    from relayq.cli.resting import who

    Top(app.store, app.settings.broker_url, who()).run()
