"""Keeps a Mac from falling asleep while a job runs here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable

LOOK_EVERY = 15.0  #: seconds
HOLDS = 45.0  #: seconds that one call keeps it awake: longer than it takes to start a worker that was killed
_CAFFEINATE = "/usr/bin/caffeinate"


def program() -> str | None:
    """What keeps this machine awake; None if it does not fall asleep by itself, as far as we know."""
    return shutil.which(_CAFFEINATE) if sys.platform == "darwin" else None


class Awake:
    """`look` every LOOK_EVERY seconds. What it starts ends by itself, so that nothing is left over by whoever dies."""

    def __init__(self, caffeinate: str, busy: Callable[[], bool]) -> None:
        self._argv = (caffeinate, "-i", "-t", f"{HOLDS:.0f}")
        self._busy = busy
        self._started: list[subprocess.Popen[bytes]] = []

    def look(self) -> None:
        """Keep it awake for a while if a job runs."""
        self._started = [one for one in self._started if one.poll() is None]
        if self._busy():
            quiet = subprocess.DEVNULL
            self._started.append(
                subprocess.Popen(self._argv, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
            )
