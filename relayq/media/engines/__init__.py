"""What turns speech into text: one module an engine, each loaded only where it is used.

A module has `found()`, whether it is here, told without loading it; and `listen(speech)`, which yields segments as
they become known. `speech` is a WAV file of 16 kHz, one channel, 16 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

from relayq.media.transcript import Segment
from relayq.params import CAN_TRANSCRIBE, ENGINES

RATE = 16000  #: samples a second

_MODULES = {name: name.replace("-", "_").replace(".", "_") for name in ENGINES}


@dataclass(kw_only=True)
class Speech:
    """What is to be listened to, and how."""

    wav: Path
    folder: Path  #: for files of its own
    machine: str
    model: str
    language: str | None = None  #: None: to be found out; then set by who finds out
    say: Callable[[str], None] = field(default=lambda _: None)  #: what it does, before there are words


Listen = Callable[[Speech], Iterator[Segment]]


def engine(name: str) -> ModuleType:
    """The module of that engine."""
    return import_module(f"{__name__}.{_MODULES[name]}")


def found() -> tuple[str, ...]:
    """Which engines this machine has; and, if any, that it can transcribe."""
    names = tuple(name for name in ENGINES if engine(name).found())
    return (*names, CAN_TRANSCRIBE) if names else ()


def installed(distribution: str) -> bool:
    """Whether this package is here, without loading it: some take seconds."""
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True
