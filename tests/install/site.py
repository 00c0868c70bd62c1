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
        self.lines: list[str] = []  #: that `token` gave
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
        self.lines.append(str(self.relayq("token", "new", *options)["line"]))
        return self.lines[-1]

    def join(self, node: Node, line: str, *options: str, check: bool = True, timeout: float = 600.0) -> Done:
        """Paste the line on a node."""
        pasted = f"{line} -s -- {' '.join(options)}" if options else line
        return node.run(pasted, user="owner", timeout=timeout, check=check)

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

    def well(self, *nodes: Node, timeout: float = 60.0) -> None:
        """The doctor finds no problem on these; it may take a moment, after what a test did to them."""

        def problems() -> dict[str, list[str]]:
            found: dict[str, list[str]] = {}
            for node in nodes:
                told = json.loads(self.run("relayq", "doctor", "--json", on=node, check=False).stdout)
                said = [f"{f['check']}: {f['sentence']}" for f in told["findings"] if f["level"] == "problem"]
                if said:
                    found[node.name] = said
            return found

        wait_until(lambda: not problems(), timeout, problems)

    def online(self, name: str, timeout: float = 30.0) -> float:
        """Wait until a worker is there; how many seconds that took."""
        began = time.monotonic()
        wait_until(lambda: self.workers().get(name, {}).get("online"), timeout, self.workers)
        return time.monotonic() - began


#: Of the tools of the system, which keep what they downloaded and did, and the versions before the last.
_OTHERS = (
    "/var/lib/apt/", "/var/cache/", "/var/log/", "/var/lib/dpkg/", "/etc/ssl/", "/var/lib/systemd/",
)  # fmt: skip
_KEPT = {"/etc/group-", "/etc/gshadow-", "/etc/passwd-", "/etc/shadow-"}


def remains(node: Node) -> set[str]:
    """What is there now and was not, or is not as it was, after its first boot; but for what is the system's own."""
    return {path for path in node.changes() if not path.startswith(_OTHERS)} - _KEPT


def main_pid(node: Node, unit: str) -> int:
    """The process of a system unit; 0 if there is none."""
    return int(node.run(["systemctl", "show", "-P", "MainPID", unit]).stdout)
