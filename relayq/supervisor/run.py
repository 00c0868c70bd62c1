"""What a supervisor process does once it has its keeper: opens its files and its socket, runs its loop, tidies up."""

import contextlib
import gc
import os
import time
from collections.abc import Callable

from relayq.supervisor import paths
from relayq.supervisor.cellar import Cellar
from relayq.supervisor.connection import listener_at
from relayq.supervisor.supervisor import Supervisor


def supervise(home: str, version: str, linger: float, keeper: int | None) -> None:
    """Serves this home until there is nothing left to do. `keeper` reads end-of-file when the keeper dies."""
    log = _log()
    cellar = Cellar(home, version, log)
    listener, path = listener_at(paths.Paths(home, version))
    supervisor = Supervisor(listener, cellar, version, paths.home_id(home), log, linger)
    # What is loaded stays for life: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    log(f"supervisor of relayq {version} starts, pid {os.getpid()}")
    try:
        supervisor.run(keeper)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)
    log("nothing is left to do")


def _log() -> Callable[[str], None]:
    """A log that says each sentence once: a full disk must not be filled further."""
    said: set[str] = set()

    def log(sentence: str) -> None:
        if sentence not in said and len(said) < 1000:
            said.add(sentence)
            with contextlib.suppress(OSError):
                os.write(2, f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {sentence}\n".encode())

    return log
