"""A control group per node and hub: it ends everything that was started in it, and nothing else."""

from __future__ import annotations

import contextlib
import time
from functools import cache
from pathlib import Path

from .commands import CommandError


class Group:
    """Made where it is named; `entering` starts a command in it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.folder = unified() / name
        self.folder.mkdir(exist_ok=True)

    def entering(self, *argv: str, part: str = "") -> list[str]:
        """The command that runs `argv` in this group, or in a `part` of it."""
        folder = self.folder / part
        folder.mkdir(exist_ok=True)
        return ["sh", "-c", 'echo $$ >"$0" && exec "$@"', str(folder / "cgroup.procs"), *argv]

    def processes(self) -> list[int]:
        """Whatever runs in it or in a part of it."""
        found: list[int] = []
        for file in self.folder.rglob("cgroup.procs"):
            with contextlib.suppress(OSError):  # a part that went while we looked
                found += map(int, file.read_text().split())
        return found

    def kill(self) -> None:
        """kill -9 of all, at one blow. Returns when none is left."""
        if not self.folder.exists():
            return
        (self.folder / "cgroup.kill").write_text("1")
        deadline = time.monotonic() + 20
        while "populated 1" in (self.folder / "cgroup.events").read_text():
            if time.monotonic() > deadline:
                raise CommandError(f"still in {self._name} after a kill: {self.processes()}")
            time.sleep(0.01)

    def renew(self) -> None:
        """Kill, and begin anew: a kernel kills what is started (by CLONE_INTO_CGROUP, as systemd 257 does) from a group
        that was killed once into one inside that was not."""
        self.remove()
        self.folder.mkdir()

    def remove(self) -> None:
        """Kill, and leave no folder behind."""
        self.kill()
        for hierarchy in hierarchies():
            folder = hierarchy / self._name
            if folder.exists():
                for each in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
                    each.rmdir()
                folder.rmdir()


@cache
def hierarchies() -> tuple[Path, ...]:
    """Where groups of ours may be: the unified hierarchy first; a machine with both kinds has systemd's own as well."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    unified = [Path(m[1]) for m in mounts if m[2] == "cgroup2"]
    return (*unified[:1], *(Path(m[1]) for m in mounts if m[2] == "cgroup" and "name=systemd" in m[3].split(",")))


def unified() -> Path:
    """The unified hierarchy."""
    return hierarchies()[0]


def named(prefix: str) -> list[str]:
    """The groups whose names begin so."""
    return sorted({p.name for h in hierarchies() for p in h.glob(f"{prefix}*") if p.is_dir()})
