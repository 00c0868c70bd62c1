"""The two services relayq has, as this machine's settings want them, and the program that they start."""

from __future__ import annotations

import sys
from pathlib import Path

from relayq.config import Settings
from relayq.service.model import Unit


def worker_unit(settings: Settings, *, user: str | None = None, argv: tuple[str, ...] | None = None) -> Unit:
    """The worker. It has no minder: whoever runs services starts it again."""
    return Unit(
        name="worker",
        argv=(*(argv or program()), "worker", "--no-restart"),
        description="relayq worker: runs jobs on this machine",
        home=settings.home.absolute(),
        nice=settings.nice,
        user=user,
        log_file=settings.log_file,
    )


def server_unit(
    settings: Settings,
    *,
    user: str | None = None,
    argv: tuple[str, ...] | None = None,
    writes: tuple[Path, ...] = (),
) -> Unit:
    """What a broker's machine answers over HTTP."""
    return Unit(
        name="server",
        argv=(*(argv or program()), "server"),
        description="relayq server: dashboard, API, lets machines join",
        home=settings.home.absolute(),
        user=user,
        writes=writes,
    )


def program() -> tuple[str, ...]:
    """How to start the relayq that runs now, so that an upgrade is what starts next.

    Of an installation with `venvs/NAME` and a link `current` beside them, it is the one behind the link.
    """
    prefix = Path(sys.prefix)
    current = prefix.parent.parent / "current"
    places = [current, prefix] if prefix.parent.name == "venvs" else [prefix]
    for place in places:
        if (command := place / "bin" / "relayq").exists():
            return (str(command),)
    return (sys.executable, "-m", "relayq")
