"""What every step of the demo is given, what it answers, and how it waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from relayq.client import Client
from relayq.demo.nodes import Nodes
from relayq.demo.show import Screen
from relayq.errors import ResultTimeout
from relayq.handle import JobHandle
from relayq.monitoring import WorkerStatus

_LOOK_EVERY = 0.1  #: seconds


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What every step is given."""

    nodes: Nodes
    screen: Screen
    until: float  #: the demo ends then (monotonic)

    @property
    def client(self) -> Client:
        """Submits to the demo's broker."""
        return self.nodes.client

    def left(self, seconds: float) -> float:
        """How long to wait for something that should take far less than `seconds`."""
        return max(0.1, min(seconds, self.until - time.monotonic()))


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a step found out."""

    ok: bool  #: whether it did what it says
    figures: str  #: one line
    details: tuple[str, ...] = ()


def until(condition: Callable[[], bool], patience: float) -> bool:
    """Whether `condition` came to hold within `patience` seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_EVERY)
    return True


def follow(stage: Stage, handle: JobHandle, patience: float, tell: Callable[[], str]) -> None:
    """Show what `tell` says until the job ends. Raises ResultTimeout."""

    def ended() -> bool:
        if handle.ready():
            return True
        if sentence := tell():
            stage.screen.live(sentence)
        return False

    if not until(ended, stage.left(patience)):
        raise ResultTimeout(str(handle.explain()))


def status_lines(status: WorkerStatus) -> tuple[str, ...]:
    """The table of all workers."""
    return tuple(str(status).splitlines())
