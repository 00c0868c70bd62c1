"""The three nodes of the guide, made by the installers: the broker on `vm`, the workers `mac-mini` and `rpi`."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from tests.conftest import wait_until

from .inside import Done
from .lab import Lab
from .node import Node
from .wheels import ROOT

SCRIPTS = ("install-broker.sh", "install-worker.sh", "install-worker-rpi.sh")


class Site:
    """What a newcomer types, on nodes that were fresh."""

    def __init__(self, lab: Lab, folder: Path, wheel: Path, vm: Node) -> None:
        for name in SCRIPTS:
            shutil.copy(ROOT / name, folder / name)
        shutil.copy(wheel, folder / wheel.name)
        self.url = lab.hub.serve(folder)
        self.wheel = f"{self.url}/{wheel.name}"
        self.vm = vm
        vm.install_tailscale()

    # ── installing ──

    def install_broker(self, *options: str, check: bool = True) -> Done:
        """`curl … | bash` on vm, as a user with sudo."""
        words = " ".join(options)
        return self.vm.run(
            f"curl -fsSL {self.url}/install-broker.sh | RELAYQ_SPEC={self.wheel} bash -s -- {words}",
            user="owner", timeout=600, check=check,
        )  # fmt: skip

    def token(self, *options: str) -> str:
        """The line that `relayq token new` prints."""
        return str(self.relayq("token", "new", *options)["line"])

    def join(self, node: Node, line: str, *options: str, check: bool = True) -> Done:
        """Paste the line on a node."""
        pasted = f"{line} -s -- {' '.join(options)}" if options else line
        return node.run(pasted, user="owner", timeout=600, check=check)

    # ── using it ──

    def relayq(self, *words: str, on: Node | None = None) -> Any:
        """What a verb says, as JSON."""
        done = self.run("relayq", *words, "--json", on=on)
        return json.loads(done.stdout)

    def run(self, *words: str, on: Node | None = None, check: bool = True, timeout: float = 60.0) -> Done:
        """A command of the owner's, on vm or another node."""
        return (on or self.vm).run(["sh", "-lc", 'exec "$@"', "-", *words], user="owner", check=check, timeout=timeout)

    def workers(self) -> dict[str, Any]:
        """By name, as vm sees them."""
        return dict(self.relayq("workers"))

    def online(self, name: str, timeout: float = 30.0) -> float:
        """Wait until a worker is there; how many seconds that took."""
        began = time.monotonic()
        wait_until(lambda: self.workers().get(name, {}).get("online"), timeout, self.workers)
        return time.monotonic() - began


def main_pid(node: Node, unit: str) -> int:
    """The process of a system unit; 0 if there is none."""
    return int(node.run(["systemctl", "show", "-P", "MainPID", unit]).stdout)
