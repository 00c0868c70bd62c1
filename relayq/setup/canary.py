"""Sends one job the real way, through the broker to this very worker and back; else says why it did not arrive."""

from __future__ import annotations

import secrets
from contextlib import suppress

from relayq.client import Client
from relayq.config import Settings
from relayq.effects import run_command
from relayq.errors import RelayqError, ResultTimeout, SetupError
from relayq.service import Manager

PATIENCE = 60.0  #: seconds for the worker to start, join, take the job and answer
_LOG_LINES = 15


def prove(settings: Settings, manager: Manager) -> None:
    """Raises SetupError with the cause, the end of the worker's log and the command to try."""
    told = secrets.token_hex(8)
    client = Client(settings)
    handle = None
    try:
        # It may not have joined yet: the job waits for it.
        handle = client.run(f"echo {told}", on=settings.worker_name, name="canary", timeout=30.0, queue_anyway=True)
        said = str(handle.get(timeout=PATIENCE))
        if said.strip() == told:
            return
        cause = f"it came back with {said[:80]!r}"
    except ResultTimeout:
        cause = f"it has not come back within {PATIENCE:.0f} s"
        with suppress(RelayqError):
            if handle:
                cause = f"{cause}: {handle.explain()}"
                handle.cancel()
    except RelayqError as error:
        cause = str(error)
    log = run_command(manager.log_command("worker", _LOG_LINES, False), check=False).stdout.rstrip()
    state = manager.status("worker").detail
    raise SetupError(
        f"a first job was sent to {settings.worker_name}, and {cause}. The worker's service: {state}. Its log ends:\n"
        f"{log or '(nothing)'}\nTry: relayq doctor"
    )
