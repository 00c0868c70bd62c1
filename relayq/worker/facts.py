"""What a worker says of this machine: the labels every machine of its sort has, and the programs found."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path

import relayq
from relayq.kinds import Machine
from relayq.media import engines
from relayq.model import WorkerInfo

#: Programs worth knowing of before a job asks for them.
PROGRAMS = ("ffmpeg", "ffprobe", "docker", "whisper")


def own_labels() -> tuple[str, ...]:
    """`mac` on macOS, `rpi` on a Raspberry Pi."""
    if platform.system() == "Darwin":
        return ("mac",)
    try:
        model = Path("/proc/device-tree/model").read_bytes()
    except OSError:
        return ()
    return ("rpi",) if b"Raspberry Pi" in model else ()


def capabilities() -> tuple[str, ...]:
    """Programs on PATH, and the architecture."""
    found = [program for program in PROGRAMS if shutil.which(program)]
    return (*found, *engines.found(), f"arch:{platform.machine()}", f"os:{platform.system().lower()}")


def describe(*, name: str, identity: str, slots: int, labels: tuple[str, ...]) -> WorkerInfo:
    """This worker, as it registers."""
    return WorkerInfo(
        name=name,
        identity=identity,
        incarnation=os.urandom(8).hex(),
        slots=slots,
        labels=tuple(dict.fromkeys((*labels, *own_labels()))),
        capabilities=capabilities(),
        host=platform.node(),
        system=f"{platform.system()} {platform.machine()}",
        version=relayq.__version__,
        pid=os.getpid(),
    )


def machine(info: WorkerInfo) -> Machine:
    """What a plan may know of this worker's machine."""
    return Machine(name=info.name, offers=info.offers, python=sys.executable)
