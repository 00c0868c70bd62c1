"""Whether rings are heard: Celery's consumer has gone deaf after reconnects (celery issues 8030, 8091, 10205)."""

from __future__ import annotations

DEAF_AFTER = 3  #: pulses in a row that find rings waiting although a slot is free


class Hearing:
    """Told of every ring heard, asked with every pulse."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._heard = False
        self._silent_pulses = 0

    def heard(self) -> None:
        """A ring came through."""
        self._heard = True

    def is_deaf(self, unheard: int, busy: int) -> bool:
        """Whether this worker no longer hears: `unheard` rings wait in its queue while only `busy` slots are taken."""
        if self._heard or unheard == 0 or busy >= self._slots:
            self._silent_pulses = 0
        else:
            self._silent_pulses += 1
        self._heard = False
        return self._silent_pulses >= DEAF_AFTER
