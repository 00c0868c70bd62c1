"""What a kind of job must offer: how to run it on a machine, and what its value is; pure functions of the spec."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from relayq.model import JobSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to start for an attempt."""

    argv: tuple[str, ...]
    stdin: bytes | None = None
    #: Files to write into the attempt's workspace first: name → text. `{workspace}` in argv is its path.
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kind:
    """The two questions a worker asks of a kind."""

    plan: Callable[[JobSpec], Plan]
    #: Of a job that succeeded, from the last line of its stdout; None: its value is its whole stdout.
    value: Callable[[JobSpec, str], Any]


def get_kind(name: str) -> Kind:
    """The kind of that name. Raises KeyError for one of a newer release."""
    from relayq.kinds import command, transcode

    kinds = {"command": command.COMMAND, "transcode": transcode.TRANSCODE}
    return kinds[name]
