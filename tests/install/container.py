"""A system under systemd-nspawn: started, and killed at one blow. What it is for is the node's affair."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .commands import CommandError
from .groups import Group
from .inside import PATH


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a system is started with."""

    name: str  #: unlike any other on this computer
    hostname: str
    root: Path
    namespace: str  #: its network
    binds: Sequence[tuple[Path, str]]  #: folders of this computer, and where it sees them

    def argv(self) -> list[str]:
        """The command. There need be neither systemd nor D-Bus on this computer: hence --register and --keep-unit."""
        return [
            "systemd-nspawn", "--quiet", f"--directory={self.root}", f"--machine={self.name}",
            f"--hostname={self.hostname}", "--register=no", "--keep-unit", "--link-journal=no",
            f"--network-namespace-path=/run/netns/{self.namespace}", "--resolv-conf=off", "--timezone=off",
            "--console=passive", *(f"--bind-ro={folder}:{seen}" for folder, seen in self.binds), "--boot",
        ]  # fmt: skip


class Container:
    """At most one system at a time. Everything that runs in it is in its group, which goes with `close`."""

    def __init__(self, machine: Machine, log: Path) -> None:
        self.group = Group(machine.name)
        self._machine = machine
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether there is one."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Returns at once."""
        assert not self.running, f"{self._machine.name} runs already"
        env = {"PATH": PATH, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.group.entering(*self._machine.argv()), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env,
                start_new_session=True,
            )  # fmt: skip

    def init(self) -> int:
        """Its process 1, as seen from here: nspawn's only child, once that is a program of the system's own."""
        if self._process is None or not self.running:
            raise CommandError(f"{self._machine.name} is off")
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/children")
        with contextlib.suppress(OSError, ValueError):
            (pid,) = map(int, "".join(task.read_text() for task in tasks).split())
            if not Path(f"/proc/{pid}/comm").read_text().startswith(("(", "systemd-nspawn", "sh")):
                return pid
        raise CommandError(f"{self._machine.name} has no process 1 yet")

    def wait(self, timeout: float) -> None:
        """For it to end, so many seconds at most."""
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout)

    def kill(self) -> None:
        """No process of it is left."""
        self.group.renew()
        if self._process is not None:
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """Nor a group."""
        self.kill()
        self.group.remove()
