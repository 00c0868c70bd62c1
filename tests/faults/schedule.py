"""What will go wrong and when, from a seed alone: the same seed is the same schedule on every machine."""

from __future__ import annotations

import random
from dataclasses import dataclass

NODES = ("a", "b", "c")

#: How often each happens, and what it is.
WEIGHTS = {
    "worker kill -9": 6,
    "worker TERM": 4,
    "supervisor kill -9": 4,
    "power cut": 4,
    "worker SIGSTOP": 4,
    "link cut": 4,
    "broker kill -9": 2,
    "broker stop": 1,
}
NEED_LINKS = {"link cut"}


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong."""

    number: int
    kind: str
    node: str  #: whom it hits; the broker's ignore it
    pause: float  #: lease floors between the fault before and this one
    lasts: float  #: lease floors until it is undone
    way: str  #: of a cut


def schedule(seed: int, count: int, links: bool) -> list[Fault]:
    """So many faults. Without links the cuts are left out, everything else stays as it is."""
    chance = random.Random(seed)
    faults = []
    while len(faults) < count:
        [kind] = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
        fault = Fault(
            number=len(faults) + 1,
            kind=kind,
            node=chance.choice(NODES),
            pause=chance.uniform(0.05, 0.8),
            # Most are short, some are longer than a lease.
            lasts=min(chance.expovariate(1.2), 4.0),
            way=chance.choice(("both", "to", "from")),
        )
        if links or kind not in NEED_LINKS:
            faults.append(fault)
    return faults
