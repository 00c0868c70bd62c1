"""This machine's services, the same everywhere: installed, started at boot, looked at and removed again.

    unit = worker_unit(settings)
    manager().install(unit, effects)

systemd and launchd do the work; what a service is to be stands in `model` and `ours`.
"""

from __future__ import annotations

import sys

from relayq.errors import SetupError
from relayq.service.model import Manager, Name, Status, Unit
from relayq.service.ours import program, server_unit, worker_unit

__all__ = ["Manager", "Name", "Status", "Unit", "find", "manager", "program", "server_unit", "worker_unit"]


def manager(system: bool = False) -> Manager:
    """What starts services on this machine: for its user, or for the whole of it (`system`: before any login).

    Raises SetupError, with how to start a worker by hand, where there is neither systemd nor launchd.
    """
    from relayq.service import launchd, systemd

    if sys.platform == "darwin":
        return launchd.Launchd(system=system)
    if systemd.runs_here():
        return systemd.Systemd(system=system)
    raise SetupError(
        "neither systemd nor launchd runs this machine, so nothing can start relayq at boot. Start the worker by hand "
        "(it starts again by itself when it crashes): relayq worker &"
    )


def find(name: Name) -> Manager:
    """The one that has this service; if none has, the one that would get it. Raises SetupError as `manager`."""
    first = manager(system=name == "server")
    second = manager(system=name != "server")
    return second if second.status(name).installed and not first.status(name).installed else first
