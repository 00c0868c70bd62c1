"""What a worker is set up with where its owner says nothing: by the sort of machine it is. Pure, but for `detected`."""

from __future__ import annotations

from dataclasses import dataclass

from relayq.worker.facts import own_labels


@dataclass(frozen=True, kw_only=True)
class Profile:
    """None: relayq's own default."""

    labels: tuple[str, ...] = ()
    slots: int | None = None
    nice: int | None = None


PROFILES = {
    # Four cores and little memory, often with another duty (Pi-hole): many light jobs, which give way to others.
    "rpi": Profile(labels=("rpi", "light"), slots=4, nice=10),
    # Fast, and its jobs use all cores by themselves.
    "mac": Profile(labels=("mac", "heavy"), slots=2),
    "none": Profile(),
}


def detected() -> str:
    """The profile of this machine, by name."""
    return next((label for label in own_labels() if label in PROFILES), "none")
