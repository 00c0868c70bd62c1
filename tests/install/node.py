"""A node: a Debian system that really boots, on a network of its own; it may be cut off, halted, killed and rebooted.

node.run("apt-get update")                      as root; text is for `sh -ec`, a list is a command
node.run("sudo true", user="owner", input="…")  a login of the owner's, as over ssh
node.halt(); node.boot()                        or node.reboot(); node.lose_power() is a halt without shutdown
node.cut(); node.restore()                      the tailnet swallows its packets
node.take_address(); node.give_address()        tailscale0 has none, or another; also while it is off
node.changes()                                  the files that are not as they were after the first boot
node.root / "etc/passwd"                        its files, from outside
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import inside
from .bases import Arch, Suite
from .commands import CommandError, call, ip
from .container import Container, Machine
from .hub import Device, Hub
from .layers import Layers
from .runs import Run
from .tailnet import SEEN_AT, STUB, Member, State, Tailnet


class Node:
    """Made by `Lab.node`, off. Used until `close`."""

    def __init__(
        self, run: Run, hub: Hub, tailnet: Tailnet, name: str, *, suite: Suite, arch: Arch, lowers: Sequence[Path],
        binds: Sequence[Path], patience: float,
    ) -> None:  # fmt: skip
        """`binds` are folders of this computer that it sees; a boot may take `patience` seconds."""
        self.name = name
        self.suite = suite
        self.arch = arch
        self._folder = run.folder / name
        self._hub, self._tailnet, self._patience = hub, tailnet, patience
        self._settled = False
        self._ours: set[str] = set()
        self.port = hub.attach(name)
        self.address = self.port.tailnet  #: in the tailnet
        self.wan = self.port.wan  #: in the ordinary network
        self.layers = Layers(self._folder, lowers)
        self.root = self.layers.root
        told = self._folder / "tailnet"
        tailnet.join(Member(name=name, folder=told, address=self.address))
        machine = Machine(
            name=f"{run.prefix}-{name}", hostname=name, root=self.root, namespace=self.port.namespace,
            binds=[(told, SEEN_AT), *((folder, str(folder)) for folder in binds)],
        )  # fmt: skip
        self.container = Container(machine, self._folder / "console.log")

    # ── on and off ──

    def boot(self) -> None:
        """Switch it on. Returns when every unit of the boot has started or failed."""
        self.container.start()
        self._tailnet.update(self.name, on=True)
        deadline, state = time.monotonic() + self._patience, "off"
        while state not in ("running", "degraded"):
            if time.monotonic() > deadline or not self.container.running:
                raise CommandError(f"{self.name} did not boot: {state}\n{self.log()}")
            time.sleep(0.02)
            with contextlib.suppress(CommandError):
                state = self.run(["systemctl", "is-system-running"], check=False, timeout=30).stdout.strip()
        if not self._settled:
            self._settled = True
            self.layers.settle()

    def halt(self, timeout: float = 30.0) -> None:
        """Shut it down in order; what is left after `timeout` seconds is killed."""
        # Not by a signal to process 1: qemu-user takes the one that is meant for another.
        with contextlib.suppress(CommandError):
            self.run(["systemctl", "poweroff"], check=False, timeout=timeout)
            self.container.wait(timeout)
        self.lose_power()

    def lose_power(self) -> None:
        """All its processes end at one blow."""
        self.container.kill()
        self._tailnet.update(self.name, on=False)

    def reboot(self) -> None:
        """Shut down, and boot again."""
        self.halt()
        self.boot()

    def close(self) -> None:
        """Nothing of it remains."""
        self.container.close()
        self._tailnet.leave(self.name)
        self.layers.close()
        self._hub.detach(self.port)
        shutil.rmtree(self._folder)

    # ── inside ──

    def run(
        self, command: str | Sequence[str | Path], *, user: inside.User = "root", input: str | None = None,
        timeout: float = 120.0, check: bool = True, env: Mapping[str, str] | None = None,
    ) -> inside.Done:  # fmt: skip
        """Run a command to its end, in the user's home; the owner's has a login shell's environment and a session.

        Text is for `sh -ec`: it ends with the first command that fails. What the command leaves running goes on.
        Raises `CommandError` if it does not exit with 0, unless `check` is false, and after `timeout` seconds.
        """
        init = self.container.init()
        try:
            return inside.run(
                self.container.group, init, command, user=user, input=input, timeout=timeout, check=check, env=env
            )
        except CommandError as failed:
            raise CommandError(f"{self.name}: {failed}") from None

    def kill9(self, pid: int) -> None:
        """kill -9 of a process, by the number it has inside."""
        self.run(["kill", "-9", str(pid)])

    def changes(self) -> set[str]:
        """Paths that are not as after the first boot, as `Layers.changes` says; without what the testbed put in."""
        return self.layers.changes() - self._ours

    def journal(self, unit: str | None = None) -> str:
        """All that a unit, or everything, ever said, over all boots; also while it is off."""
        argv = ["journalctl", "--no-pager", "--output=short-precise", *(["--unit", unit] if unit else [])]
        if self.container.running:
            return self.run(argv).stdout
        return call(*argv, f"--directory={self.root}/var/log/journal")

    def log(self, size: int = 20_000) -> str:
        """The ends of its console and its journal, for a report: does not fail."""
        console = self._folder / "console.log"
        said = console.read_text(errors="replace")[-2000:] if console.exists() else ""
        try:
            return said + self.journal()[-size:]
        except CommandError as why:
            return f"{said}(no journal: {why})"

    # ── its networks ──

    def cut(self, device: Device = "tailscale0") -> None:
        """Its packets vanish: in the tailnet, or (eth0) in the ordinary network."""
        self._hub.cut(self.port, device)

    def restore(self, device: Device = "tailscale0") -> None:
        """They arrive again."""
        self._hub.restore(self.port, device)

    def take_address(self) -> None:
        """tailscale0 is there, and has no address."""
        ip(f"-n {self.port.namespace} addr flush dev tailscale0 scope global")
        self._tailnet.update(self.name, address=None)

    def give_address(self, address: str | None = None) -> None:
        """Its first address again, or another one, which is in `node.address` from now on."""
        self.take_address()
        self.address = address or self.port.tailnet
        ip(f"-n {self.port.namespace} addr add {self.address}/10 dev tailscale0")
        self._tailnet.update(self.name, address=self.address)

    def install_tailscale(self) -> None:
        """Put the stand-in for the command where Debian's package has it."""
        target = self.root / "usr/bin/tailscale"
        shutil.copyfile(STUB, target)
        target.chmod(0o755)
        self._ours.add("/usr/bin/tailscale")

    def tailscale(self, state: State) -> None:
        """What the stand-in says from now on. The network is not touched: an address stays."""
        self._tailnet.update(self.name, state=state)
