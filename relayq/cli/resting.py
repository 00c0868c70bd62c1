"""What pause, drain and resume share: who asks, and how the worker is now."""

from __future__ import annotations

import time

from relayq.cli.context import App

_LOOK_EVERY = 0.25  #: seconds


def who() -> str:
    """The person at this terminal, for the others to ask."""
    import getpass
    import platform

    try:
        return f"{getpass.getuser()}@{platform.node()}"
    except (OSError, KeyError):  # a user id without a name
        return platform.node()


def drained(app: App, worker: str, patience: float) -> bool:
    """Whether nothing ran there before `patience` seconds had passed."""
    give_up_at = time.monotonic() + patience
    while any(w.info.name == worker and w.running for w in app.store.workers()[1]):
        if time.monotonic() >= give_up_at:
            return False
        time.sleep(min(_LOOK_EVERY, max(0.0, give_up_at - time.monotonic())))
    return True


def say_worker(app: App, name: str, as_json: bool) -> None:
    """How the worker is now: as a sentence on stderr, or as its record."""
    from relayq.cli.records import worker_records
    from relayq.cli.screen import message, say_json
    from relayq.cli.snapshot import Snapshot

    record = worker_records(Snapshot(app.store).status())[name]
    if as_json:
        say_json(record)
    elif record["why"]:
        running = record["active_jobs"]
        message(f"{name} {record['why']}; {'1 job runs' if running == 1 else f'{running} jobs run'} there")
    else:
        message(f"{name} takes jobs")
