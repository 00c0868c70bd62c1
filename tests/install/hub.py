"""The network between nodes: a tailnet and an ordinary one that reaches the internet, in a namespace of our own.

    hub   br-ts 100.64.0.1/10    br-wan 198.51.100.1/24    tap0: user-mode NAT to wherever this machine reaches
            |                      |
    node  tailscale0 100.64.0.N  eth0 198.51.100.N, the default route

This machine's own network is not changed. What is bound to the tailnet address answers other nodes there, and not on
the ordinary network. A link that is cut loses every packet and says nothing: as a peer of a real tailnet that is gone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .commands import CommandError, call, ip
from .groups import Group
from .runs import Run

Device = Literal["tailscale0", "eth0"]

ADDRESS = "198.51.100.1"  #: the hub, for nodes
RESOLVER = "10.0.2.3"  #: of the user-mode network
_MTU: dict[Device, int] = {"tailscale0": 1280, "eth0": 1400}
_BRIDGE = {"tailscale0": "br-ts", "eth0": "br-wan"}
# A node whose tailscale0 has no address must not reach the tailnet through eth0: nothing is forwarded between the two.
_RULES = """
table ip nat {
  chain out { type nat hook postrouting priority 100; ip saddr 198.51.100.0/24 oifname "tap0" masquerade; }
}
table ip flt {
  chain forward {
    type filter hook forward priority 0; policy drop;
    iifname "br-wan" oifname { "tap0", "br-wan" } accept
    iifname "tap0" oifname "br-wan" accept
    iifname "br-ts" oifname "br-ts" accept
  }
}
table bridge links {
  set cut { type ifname; }
  chain from { type filter hook prerouting priority 0; iifname @cut ether type ip drop; }
  chain to { type filter hook postrouting priority 0; oifname @cut ether type ip drop; }
}
"""


@dataclass(frozen=True)
class Port:
    """A node's place in both networks."""

    number: int
    namespace: str

    @property
    def tailnet(self) -> str:
        """Its address in the tailnet, unless it is changed."""
        return f"100.64.0.{self.number}"

    @property
    def wan(self) -> str:
        """Its address in the ordinary network."""
        return f"198.51.100.{self.number}"

    def link(self, device: Device) -> str:
        """The hub's end."""
        return f"{'t' if device == 'tailscale0' else 'w'}{self.number}"


class Hub:
    """Used until `close`. `serve` gives nodes files."""

    def __init__(self, run: Run) -> None:
        self._folder = run.folder
        self.namespace = f"{run.prefix}-hub"
        self.ports: list[Port] = []
        self._group = Group(self.namespace)
        self._started: list[subprocess.Popen[bytes]] = []
        call("ip", "netns", "add", self.namespace)
        ip(f"-n {self.namespace} link set lo up")
        for bridge, address in (("br-ts", "100.64.0.1/10"), ("br-wan", f"{ADDRESS}/24")):
            ip(
                f"-n {self.namespace} link add {bridge} type bridge",
                f"-n {self.namespace} addr add {address} dev {bridge}",
                f"-n {self.namespace} link set {bridge} up",
            )
        self._reach_outside()
        self.call("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        self.call("nft", "-f", "-", input=_RULES)

    def call(self, *argv: str, input: str | None = None) -> str:
        """Run a command in the hub."""
        return call("nsenter", f"--net=/run/netns/{self.namespace}", "--", *argv, input=input)

    def attach(self, name: str) -> Port:
        """A namespace for a node, linked to both networks; its interfaces have their usual addresses and are up."""
        number = next(n for n in range(11, 255) if all(port.number != n for port in self.ports))
        port = Port(number, f"{self.namespace.removesuffix('-hub')}-{name}")
        self.ports.append(port)
        inside = f"-n {port.namespace}"
        addresses: dict[Device, str] = {"tailscale0": f"{port.tailnet}/10", "eth0": f"{port.wan}/24"}
        call("ip", "netns", "add", port.namespace)
        ip(f"{inside} link set lo up")
        for kind, (device, address) in enumerate(addresses.items()):
            # A node that comes later may get the same addresses: let it be the same hardware, too.
            ip(
                f"{inside} link add {device} address 02:00:00:00:0{kind}:{number:02x} mtu {_MTU[device]} "
                f"type veth peer name {port.link(device)} netns {self.namespace}",
                f"-n {self.namespace} link set {port.link(device)} master {_BRIDGE[device]} up",
                f"{inside} addr add {address} dev {device}",
                f"{inside} link set {device} up",
            )
        ip(f"{inside} route add default via {ADDRESS}")
        return port

    def detach(self, port: Port) -> None:
        """Remove its namespace, and with it the links."""
        for device in _MTU:
            self.restore(port, device)
            # Not only with the namespace, which the kernel takes apart when it has time: the name is wanted again.
            self.call("ip", "link", "delete", port.link(device))
        call("ip", "netns", "delete", port.namespace)
        self.ports.remove(port)

    def cut(self, port: Port, device: Device = "tailscale0") -> None:
        """Packets of a node and to it vanish from now on; its interface remains as it was."""
        self.call("nft", "add", "element", "bridge", "links", "cut", f"{{ {port.link(device)} }}")

    def restore(self, port: Port, device: Device = "tailscale0") -> None:
        """They arrive again."""
        # Adding an element twice is no error; deleting one that is not there would be.
        self.cut(port, device)
        self.call("nft", "delete", "element", "bridge", "links", "cut", f"{{ {port.link(device)} }}")

    def serve(self, folder: Path) -> str:
        """The URL below which every node finds the files of a folder, until `close`."""
        port = 8000 + len(self._started)
        log = self._folder / f"http-{port}.log"
        python = ["-u", "-m", "http.server", str(port), "--bind", ADDRESS, "--directory", str(folder)]
        self._start(["nsenter", f"--net=/run/netns/{self.namespace}", "--", sys.executable, *python], log)
        deadline = time.monotonic() + 20
        while "Serving HTTP" not in log.read_text():
            if time.monotonic() > deadline:
                raise CommandError(f"no file server: {log.read_text()}")
            time.sleep(0.01)
        return f"http://{ADDRESS}:{port}"

    def close(self) -> None:
        """End what it started; links, and namespaces of nodes that were not detached, go with the run."""
        self._group.remove()
        for process in self._started:
            process.wait()
        call("ip", "netns", "delete", self.namespace)

    def _reach_outside(self) -> None:
        options = ["--configure", "--mtu=1400", "--disable-host-loopback", "--netns-type=path"]
        ready, tell = os.pipe()
        try:
            options.append(f"--ready-fd={tell}")
            log = self._folder / "slirp4netns.log"
            self._start(["slirp4netns", *options, f"/run/netns/{self.namespace}", "tap0"], log, tell)
            os.close(tell)
            if not os.read(ready, 1):
                raise CommandError(f"no way out of the hub: {log.read_text()}")
        finally:
            os.close(ready)

    def _start(self, argv: list[str], log: Path, *files: int) -> None:
        with log.open("wb") as file:
            self._started.append(
                subprocess.Popen(
                    self._group.entering(*argv), stdin=subprocess.DEVNULL, stdout=file, stderr=file, pass_fds=files,
                    start_new_session=True, env={"PATH": os.environ["PATH"]},
                )
            )  # fmt: skip
