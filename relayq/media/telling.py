"""Says how far it is, seldom enough that hours of it fit into a job's output."""

from __future__ import annotations

import sys
import time

from relayq.progress import Progress, line_of

AT_MOST_EVERY = 0.5  #: seconds
AT_LEAST_EVERY = 10.0  #: seconds, if something has changed
STEP = 0.001  #: of the whole; so a thousand lines are about all


class Telling:
    """One a job."""

    def __init__(self) -> None:
        self._last = Progress(-1.0)
        self._told_at = -AT_LEAST_EVERY

    def tell(self, progress: Progress) -> None:
        """Say this on stderr, if it is time."""
        waited = time.monotonic() - self._told_at
        step = abs((progress.fraction or 0.0) - (self._last.fraction or 0.0))
        soon = waited < AT_MOST_EVERY or (step < STEP and waited < AT_LEAST_EVERY)
        if progress == self._last or (soon and progress.fraction != 1.0):
            return
        self._last, self._told_at = progress, time.monotonic()
        sys.stderr.write(line_of(progress.fraction, progress.message or "") + "\n")
        sys.stderr.flush()
