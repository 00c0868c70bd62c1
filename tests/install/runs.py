"""What one test process calls its own: a folder, and a prefix for namespaces and groups. Killed runs are swept."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from pathlib import Path

from .commands import CommandError, call
from .groups import Group, named

PREFIX = "rqn"  #: of every namespace, group and machine; goes on with our pid, so that those of a killed run are found


def cache() -> Path:
    """Bases stay here between runs; RELAYQ_TESTBED names another place. It must not be an overlay file system."""
    return Path(os.environ.get("RELAYQ_TESTBED") or Path.home() / ".cache" / "relayq-testbed")


class Run:
    """Used until `close`, which removes whatever bears its prefix."""

    def __init__(self) -> None:
        sweep()
        label = f"{os.getpid()}-{secrets.token_hex(3)}"
        self.prefix = f"{PREFIX}{label}"
        self.folder = _runs() / label
        self.folder.mkdir(parents=True)

    def close(self) -> None:
        """Leave nothing, whatever state we are in."""
        _remove(self.folder)


def namespaces(prefix: str) -> list[str]:
    """The network namespaces whose names begin so."""
    return [n for n in (line.split()[0] for line in call("ip", "netns", "list").splitlines()) if n.startswith(prefix)]


def mounts(folder: Path) -> list[Path]:
    """Mount points in a folder, the innermost first."""
    points = [Path(line.split()[1]) for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [point for point in reversed(points) if point.is_relative_to(folder)]


def sweep() -> None:
    """Remove what runs that were killed could not."""
    for folder in _runs().glob("*-*"):
        pid = re.match(r"(\d+)-", folder.name)
        if pid and not Path(f"/proc/{pid[1]}").exists():
            with contextlib.suppress(CommandError, OSError):  # another run sweeps as well
                _remove(folder)


def _runs() -> Path:
    return cache() / "runs"


def _remove(folder: Path) -> None:
    prefix = f"{PREFIX}{folder.name}"
    for group in named(prefix):
        Group(group).remove()
    for namespace in namespaces(prefix):
        call("ip", "netns", "delete", namespace)
    for point in mounts(folder):
        call("umount", point)
    # The folder goes last: what it names is found again if we come only so far. And never through a mount.
    if mounts(folder):
        raise CommandError(f"mounts are left in {folder}: {mounts(folder)}")
    shutil.rmtree(folder)
