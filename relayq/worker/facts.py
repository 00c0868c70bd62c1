"""What a worker says of itself: the labels every machine of its sort has, its facts, and what probes found."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import relayq
from relayq.kinds import Machine
from relayq.model import Capability, WorkerInfo
from relayq.probes.machine import facts as machine_facts

#: Words for the same thing: jobs may ask for either.
ALIASES = {
    "arch:arm64": "arch:aarch64",
    "arch:x86_64": "arch:amd64",
    "os:macos": "os:darwin",
}


def own_labels() -> tuple[str, ...]:
    """`mac` on macOS, `rpi` on a Raspberry Pi."""
    if platform.system() == "Darwin":
        return ("mac",)
    try:
        model = Path("/proc/device-tree/model").read_bytes()
    except OSError:
        return ()
    return ("rpi",) if b"Raspberry Pi" in model else ()


def describe(
    *,
    name: str,
    identity: str,
    slots: int,
    labels: tuple[str, ...],
    home: Path,
    found: Sequence[Capability],
) -> WorkerInfo:
    """This worker, as it registers."""
    info = WorkerInfo(
        name=name,
        identity=identity,
        incarnation=os.urandom(8).hex(),
        slots=slots,
        labels=tuple(dict.fromkeys((*labels, *own_labels()))),
        host=platform.node(),
        system=f"{platform.system()} {platform.machine()}",
        version=relayq.__version__,
        pid=os.getpid(),
    )
    return with_findings(info, found, machine_facts(home, quick=True))


def machine(info: WorkerInfo) -> Machine:
    """What a plan may know of this worker's machine."""
    return Machine(name=info.name, offers=info.offers, python=sys.executable)


def with_findings(info: WorkerInfo, found: Sequence[Capability], facts: dict[str, str | int]) -> WorkerInfo:
    """The same worker, with what a look at the machine has told."""
    sort = [f"{key}:{facts[key]}" for key in ("arch", "os") if key in facts]
    words = [*(each.name for each in found if each.works), *sort, *(ALIASES[word] for word in sort if word in ALIASES)]
    return replace(info, capabilities=tuple(words), found=tuple(found), facts=facts)
