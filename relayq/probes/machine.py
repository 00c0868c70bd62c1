"""The machine itself: its sort, its processor, memory and disk; quick to ask when a worker starts."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from pathlib import Path

GIB = 1 << 30
RESERVED = 0.12  #: of its memory a machine may keep for itself: one sold with 4 GB tells of 3.7


def facts(home: Path, *, quick: bool = False) -> dict[str, str | int]:
    """os, arch, model, cores; memory, disk and disk_free in bytes, of the disk that `home` is on.

    `quick`: without what may take a second to tell (a Mac's name on its box).
    """
    import psutil

    told: dict[str, str | int] = {"os": os_name(), "arch": arch(), "cores": os.cpu_count() or 1}
    if (model := model_name(quick=quick)) is not None:
        told["model"] = model
    told["memory"] = installed(psutil.virtual_memory().total)
    try:
        usage = shutil.disk_usage(home)
    except OSError:
        return told
    # In whole GiB: what changes with every file would be news at every look.
    return {**told, "disk": usage.total // GIB * GIB, "disk_free": usage.free // GIB * GIB}


def installed(total: int) -> int:
    """Bytes of memory that were bought, of those the kernel tells of.

    >>> installed(3_977_584_640) // GIB
    4
    """
    whole = -(-total // GIB) * GIB
    return whole if whole - total <= RESERVED * whole else total


def os_name() -> str:
    """`linux`, `macos` …"""
    name = platform.system().lower()
    return "macos" if name == "darwin" else name


def arch() -> str:
    """`arm64`, `x86_64` …, whatever the system calls it."""
    return {"aarch64": "arm64", "amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())


def model_name(*, quick: bool = False) -> str | None:
    """Such as Raspberry Pi 4 Model B Rev 1.4, Mac mini (Apple M2), NUC8i5BEH; None if the machine does not say."""
    if platform.system() == "Darwin":
        profile = "" if quick else _said("/usr/sbin/system_profiler", "-json", "SPHardwareDataType")
        return _mac_model(profile) or _said("/usr/sbin/sysctl", "-n", "hw.model").strip() or None
    for file in ("/proc/device-tree/model", "/sys/class/dmi/id/product_name"):
        try:
            name = Path(file).read_bytes().decode("utf-8", "replace").strip("\0 \n")
        except OSError:
            continue
        if name:
            return name
    return None


def _mac_model(profile: str) -> str | None:
    try:
        hardware = json.loads(profile)["SPHardwareDataType"][0]
        chip = hardware.get("chip_type")
        return f"{hardware['machine_name']}{f' ({chip})' if chip else ''}"
    except (ValueError, KeyError, IndexError, TypeError):
        return None


def _said(*argv: str) -> str:
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=5, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
