"""What a kind of job must offer: how to run it on a machine, and what its value is; pure functions of the spec."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from relayq.model import JobSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What a plan may know of the machine it is for."""

    name: str
    offers: frozenset[str] = frozenset()  #: labels and capabilities
    python: str = "python3"  #: the program that runs relayq there


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

    #: Raises ValueError with a sentence if the job cannot be done there.
    plan: Callable[[JobSpec, Machine], Plan]
    #: Of a job that succeeded, from the last line of its stdout; None: its value is its whole stdout.
    value: Callable[[JobSpec, str], Any]


def media_plan(request: dict[str, Any], machine: Machine) -> Plan:
    """A process of `relayq.media` that is asked this, with names in UTF-8 whatever the machine speaks."""
    argv = (machine.python, "-X", "utf8", "-P", "-m", "relayq.media", "{workspace}/request.json")
    return Plan(argv=argv, files={"request.json": json.dumps(request)})


def get_kind(name: str) -> Kind:
    """The kind of that name. Raises KeyError for one of a newer release."""
    from relayq.kinds import command, transcode, transcribe

    kinds = {"command": command.COMMAND, "transcode": transcode.TRANSCODE, "transcribe": transcribe.TRANSCRIBE}
    return kinds[name]
