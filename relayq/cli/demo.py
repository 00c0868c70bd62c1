"""`relayq demo`: what relayq does, shown on this machine."""

from __future__ import annotations

import click


@click.command("demo")
def command() -> int:
    """See relayq at work on this machine, in under a minute: real processes, nothing left behind."""
    from relayq.demo import main

    return main()
