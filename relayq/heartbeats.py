"""When a worker was there: the last 24 hours in quarters of an hour, as shares. Pure."""

from __future__ import annotations

from collections.abc import Mapping

QUARTER = 900.0  #: seconds
QUARTERS = 96  #: of a day


def quarter_of(now: float) -> int:
    """The number of a quarter hour since the epoch."""
    return int(now // QUARTER)


def day(beats: Mapping[int, float], since: int | None, now: float) -> tuple[float | None, ...]:
    """Oldest first, 0 … 1. `beats` are seconds by quarter; before the quarter `since` nothing was known: None."""
    last = quarter_of(now)
    first_known = last + 1 if since is None else since
    shares: list[float | None] = []
    for quarter in range(last - QUARTERS + 1, last + 1):
        length = now % QUARTER if quarter == last else QUARTER
        share = min(1.0, beats.get(quarter, 0.0) / max(length, 1.0))
        shares.append(None if quarter < first_known else round(share, 3))
    return tuple(shares)
