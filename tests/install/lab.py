"""The testbed: a hub, and nodes that are made as a test wants them. Everything it made is gone after `close`.

    with Lab() as lab:
        vm, rpi = lab.boot("vm", "rpi", suite="trixie")    # at the same time
        url = lab.hub.serve(folder)
        vm.run(f"curl -fsS {url}/install.sh | sh", user="owner")

Needs root and some packages; `missing` says which.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from . import emulation
from .archives import archives
from .bases import Arch, Suite, native
from .commands import CommandError
from .ground import Ground
from .hub import Hub
from .node import Node
from .runs import Run
from .tailnet import Tailnet

#: What each command is in.
_NEEDED = {
    "debootstrap": "debootstrap", "systemd-nspawn": "systemd-container", "ip": "iproute2", "nft": "nftables",
    "slirp4netns": "slirp4netns", "openssl": "openssl",
}  # fmt: skip


def missing(arch: Arch | None = None) -> str:
    """Why there can be no nodes (of this architecture) here, and what to do; empty if there can."""
    packages = sorted({package for command, package in _NEEDED.items() if not shutil.which(command)})
    if os.geteuid() != 0 or packages:
        wanted = f" and: apt install --no-install-recommends {' '.join(packages)}" if packages else ""
        return f"no nodes can be started here: run the tests as root{wanted}"
    return emulation.without(arch) if arch and arch != native() else ""


class Lab:
    """Used with `with`."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self._run = Run()
        self._tailnet = Tailnet()
        self._ground = Ground(self._run.folder / ".ground")
        self._lock = Lock()
        try:
            self.hub = Hub(self._run)
        except BaseException:
            self._run.close()
            raise

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def node(self, name: str, *, suite: Suite = "bookworm", arch: Arch | None = None) -> Node:
        """A new node, off. The first of its kind takes a minute, in which its base is built; emulated, four."""
        arch = arch or native()
        with self._lock:
            assert name not in self.nodes, f"there is a {name} already"
            lowers = self._ground.layers(name, suite, arch)
            self.nodes[name] = Node(
                self._run, self.hub, self._tailnet, name, suite=suite, arch=arch, lowers=lowers,
                binds=archives().folders, patience=60.0 if arch == native() else 300.0,
            )  # fmt: skip
            return self.nodes[name]

    def boot(self, *names: str, suite: Suite = "bookworm", arch: Arch | None = None) -> list[Node]:
        """New nodes, on."""
        made = [self.node(name, suite=suite, arch=arch) for name in names]
        with ThreadPoolExecutor() as pool:
            list(pool.map(Node.boot, made))
        return made

    def close_nodes(self, *nodes: Node) -> None:
        """Remove some before the others."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(Node.close, nodes))
        for node in nodes:
            del self.nodes[node.name]

    def close(self) -> None:
        """Remove everything."""
        try:
            # What cannot be closed in order is removed with the run.
            with contextlib.suppress(CommandError, OSError):
                self.close_nodes(*self.nodes.values())
            self.hub.close()
        finally:
            self._run.close()
            emulation.stop()
