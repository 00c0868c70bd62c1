"""Hosts and the links between them: network namespaces on a bridge when we are root, else everything on loopback."""

from __future__ import annotations

import contextlib
import os
import random
import re
import secrets
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from tests.conftest import free_port

Way = Literal["both", "to", "from"]

WITHOUT = (
    "links cannot be cut here: run the tests as root where `ip netns add` works (iproute2 and nsenter; in a container "
    "with CAP_SYS_ADMIN and CAP_NET_ADMIN)"
)
PREFIX = "rqf"  #: of everything we make; namespaces go on with our pid, so that those of a killed run are swept
_NOBODY = "02:00:00:00:00:ff"  #: nobody has this address: what is sent to it vanishes


@dataclass(frozen=True)
class Host:
    """A place for processes: its address, and what makes a command run there."""

    name: str
    address: str
    port: int  #: for its broker, if it has one
    enter: tuple[str, ...] = ()
    number: int = 0


class Loopback:
    """All hosts are this one; no link can be cut."""

    cuttable = False

    def host(self, name: str) -> Host:
        """A new host."""
        return Host(name, "127.0.0.1", free_port())

    def cut(self, a: Host, b: Host, way: Way = "both") -> None:
        """Not possible."""
        raise AssertionError(WITHOUT)

    restore = cut

    def close(self) -> None:
        """There is nothing to remove."""


class Namespaces:
    """Each host has a network namespace and a link to one bridge, which has a namespace of its own.

    Links are cut by neighbour entries: each host knows the others' hardware addresses by fixed entries, and a cut
    replaces one by an address that nobody has. So packets vanish, in one direction or both; nothing is refused, no
    carrier is lost and no route disappears: as when the router behind the router is switched off.
    """

    cuttable = True

    def __init__(self) -> None:
        _sweep()
        self._tag = secrets.token_hex(3)
        self._name = f"{PREFIX}{os.getpid()}-{self._tag}"
        # A subnet of the shared address space that nothing here uses: parallel runs must not collide.
        self._subnet = _free_subnet()
        self._hosts: list[Host] = []
        self._cuts: set[tuple[Host, Host]] = set()
        hub = f"{self._name}-hub"
        _ip(f"netns add {hub}")
        try:
            _ip(f"-n {hub} link add br0 type bridge", f"-n {hub} link set br0 up")
            self.outside = self._attach("outside", None)
        except BaseException:
            self.close()
            raise

    def host(self, name: str) -> Host:
        """A new host with a namespace of its own."""
        namespace = f"{self._name}-{name}"
        _ip(f"netns add {namespace}", f"-n {namespace} link set lo up")
        return self._attach(name, namespace)

    def cut(self, a: Host, b: Host, way: Way = "both") -> None:
        """From now on packets of `a` to `b` ("to"), of `b` to `a` ("from") or "both" vanish."""
        for sender, receiver in _directions(a, b, way):
            self._cuts.add((sender, receiver))
            self._point(sender, receiver, _NOBODY)

    def restore(self, a: Host, b: Host, way: Way = "both") -> None:
        """Packets arrive again."""
        for sender, receiver in _directions(a, b, way):
            self._cuts.discard((sender, receiver))
            self._point(sender, receiver, _mac(self._tag, receiver.number))

    def close(self) -> None:
        """Remove all namespaces, and with them every link."""
        for name in _namespaces():
            if name.startswith(f"{self._name}-"):
                _ip(f"netns del {name}")
        # The kernel removes a namespace's links some time later: do not leave ours until then.
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip(f"link del {PREFIX}{self._tag}")

    def _attach(self, name: str, namespace: str | None) -> Host:
        number = len(self._hosts) + 1
        host = Host(
            name, f"{self._subnet}.{number}", 6379,
            ("nsenter", f"--net=/run/netns/{namespace}", "--") if namespace else (), number,
        )  # fmt: skip
        hub, inside = f"{self._name}-hub", f"-n {namespace} " if namespace else ""
        device = self._device(host)
        _ip(
            f"-n {hub} link add p{number} type veth peer name {device}" + (f" netns {namespace}" if namespace else ""),
            *([] if namespace else [f"-n {hub} link set {device} netns {os.getpid()}"]),
            f"-n {hub} link set p{number} master br0 up",
            f"{inside}link set {device} address {_mac(self._tag, number)}",
            f"{inside}addr add {host.address}/24 dev {device}",
            f"{inside}link set {device} up",
        )
        self._hosts.append(host)
        for other in self._hosts[:-1]:
            self._point(host, other, _mac(self._tag, other.number))
            self._point(other, host, _mac(self._tag, number))
        return host

    def _device(self, host: Host) -> str:
        return "eth0" if host.enter else f"{PREFIX}{self._tag}"

    def _point(self, sender: Host, receiver: Host, mac: str) -> None:
        inside = f"-n {self._name}-{sender.name} " if sender.enter else ""
        _ip(f"{inside}neigh replace {receiver.address} lladdr {mac} dev {self._device(sender)} nud permanent")


Network = Loopback | Namespaces


def make_network() -> Network:
    """Namespaces where that is possible."""
    return Namespaces() if can_cut() else Loopback()


@cache
def can_cut() -> bool:
    """Whether we may make network namespaces."""
    if os.geteuid() != 0:
        return False
    name = f"{PREFIX}{os.getpid()}-probe"
    try:
        _ip(f"netns add {name}")
        subprocess.run(["nsenter", f"--net=/run/netns/{name}", "--", "true"], capture_output=True, check=True)
        _ip(f"-n {name} link add br0 type bridge")
        _ip(f"netns del {name}")
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def _directions(a: Host, b: Host, way: Way) -> list[tuple[Host, Host]]:
    return [*([(a, b)] if way in ("both", "to") else []), *([(b, a)] if way in ("both", "from") else [])]


def _mac(tag: str, number: int) -> str:
    return f"02:{tag[:2]}:{tag[2:4]}:{tag[4:]}:00:{number:02x}"


def _free_subnet() -> str:
    used = subprocess.run(["ip", "-4", "route", "show", "table", "all"], capture_output=True, text=True, check=True)
    while True:
        subnet = f"100.{random.SystemRandom().randrange(64, 128)}.{random.SystemRandom().randrange(256)}"
        if f"{subnet}." not in used.stdout:
            return subnet


def _sweep() -> None:
    """Remove what a run that was killed could not."""
    for name in _namespaces():
        found = re.match(rf"{PREFIX}(\d+)-", name)
        if found and not Path(f"/proc/{found[1]}").exists():
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip(f"netns del {name}")


def _namespaces() -> list[str]:
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in listed.splitlines() if line]


def _ip(*commands: str) -> None:
    for command in commands:
        subprocess.run(["ip", *command.split()], capture_output=True, text=True, check=True)
