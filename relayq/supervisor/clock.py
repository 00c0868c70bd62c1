"""The two clocks: one that counts the machine's sleep (deadlines), one that does not (timeouts)."""

import sys
import time

if sys.platform == "darwin":  # its time.monotonic() stands still during sleep, this clock does not
    _SLEEP_COUNTING = time.CLOCK_MONOTONIC
else:
    _SLEEP_COUNTING = time.CLOCK_BOOTTIME

awake = time.monotonic  #: seconds; stands still while the machine sleeps


def elapsed() -> float:
    """Seconds; goes on while the machine sleeps."""
    return time.clock_gettime(_SLEEP_COUNTING)
