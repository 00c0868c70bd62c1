"""What Tailscale says of this machine and its peers, as data. Changes nothing, and never raises."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

NOT_INSTALLED = "NotInstalled"  #: our own word beside Tailscale's states
UNKNOWN = "Unknown"  #: its daemon, or its answer, cannot be had

#: Where the command may be when it is not on PATH: a service's PATH is short, and the Mac's app brings its own.
PLACES = (
    "/usr/bin/tailscale",
    "/usr/local/bin/tailscale",
    "/opt/homebrew/bin/tailscale",
    "/Applications/Tailscale.app/Contents/MacOS/Tailscale",
)


@dataclass(frozen=True)
class Peer:
    """Another machine of the tailnet."""

    name: str
    dns_name: str | None  #: without the dot at its end
    addresses: tuple[str, ...]
    online: bool
    os: str | None

    @property
    def address(self) -> str | None:
        """Its IPv4 address."""
        return _ipv4(self.addresses)


@dataclass(frozen=True)
class Tailnet:
    """This machine's place in its tailnet.

    `online` is the word to trust: an address stays though Tailscale is stopped.
    """

    installed: bool
    state: str  #: Tailscale's own word: Running, Stopped, NeedsLogin …; or NOT_INSTALLED, UNKNOWN
    online: bool
    name: str | None = None
    dns_name: str | None = None  #: without the dot at its end
    address: str | None = None  #: IPv4
    addresses: tuple[str, ...] = ()
    peers: tuple[Peer, ...] = ()
    version: str | None = None
    trouble: str | None = None  #: a sentence with what to do, unless online
    key_expires_at: float | None = None  #: seconds since the epoch; then somebody must log in again


def look(timeout: float = 5.0) -> Tailnet:
    """What `tailscale status --json` says, within `timeout` seconds."""
    program = _program()
    if program is None:
        return _without(NOT_INSTALLED, installed=False)
    try:
        done = subprocess.run(
            [program, "status", "--json"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=timeout,
            # The app's binary opens a window unless it is told that it is a command.
            env={**os.environ, "TAILSCALE_BE_CLI": "1"},
        )
    except subprocess.TimeoutExpired:
        return _without(UNKNOWN, f"`tailscale status` has not answered within {timeout:g} s")
    except OSError as error:
        return _without(UNKNOWN, f"{program} cannot be run ({error.strerror})")
    try:
        return parse(json.loads(done.stdout))
    except ValueError:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        return _without(UNKNOWN, said[0] if said else "`tailscale status --json` prints no JSON")


def parse(status_json: Mapping[str, Any]) -> Tailnet:
    """The answer of `tailscale status --json`, understood; whatever is missing or null in it is left out."""
    found = _Node(status_json)
    this = found.node("Self")
    state = found.text("BackendState") or UNKNOWN
    addresses = this.texts("TailscaleIPs") or found.texts("TailscaleIPs")
    tailnet = Tailnet(
        installed=True,
        state=state,
        online=state == "Running" and this.flag("Online"),
        name=this.name(),
        dns_name=this.dns_name(),
        address=_ipv4(addresses),
        addresses=addresses,
        peers=tuple(peer.peer() for peer in found.nodes("Peer")),
        version=found.text("Version"),
        key_expires_at=this.instant("KeyExpiry"),
    )
    return tailnet if tailnet.online else replace(tailnet, trouble=_sentence(state))


def remedy(state: str) -> tuple[str, str | None]:
    """What such a state means, and the command that ends it."""
    mac = sys.platform == "darwin"
    up = "tailscale up" if mac else "sudo tailscale up"
    known: dict[str, tuple[str, str | None]] = {
        NOT_INSTALLED: (
            "Tailscale is not installed",
            "brew install --cask tailscale" if mac else "curl -fsSL https://tailscale.com/install.sh | sh",
        ),
        UNKNOWN: (
            "Tailscale does not answer",
            "open -a Tailscale" if mac else "sudo systemctl restart tailscaled",
        ),
        "NeedsLogin": ("Tailscale is logged out", up),
        "NeedsMachineAuth": ("this machine waits to be approved in Tailscale's admin console", None),
        "Stopped": ("Tailscale is stopped", up),
        "NoState": ("Tailscale is starting", "tailscale status"),
        "Starting": ("Tailscale is starting", "tailscale status"),
        "Running": ("Tailscale runs and is not connected: its servers are out of reach", "tailscale netcheck"),
    }
    return known.get(state, (f'Tailscale\'s state is "{state}"', "tailscale status"))


def _sentence(state: str, reason: str | None = None) -> str:
    what, command = remedy(state)
    if reason:
        what = f"{what} ({reason})"
    return f"{what}. To mend it: {command}" if command else what


def _without(state: str, reason: str | None = None, *, installed: bool = True) -> Tailnet:
    return Tailnet(installed=installed, state=state, online=False, trouble=_sentence(state, reason))


def _program() -> str | None:
    found = shutil.which("tailscale")
    return found or next((place for place in PLACES if os.access(place, os.X_OK) and Path(place).is_file()), None)


def _ipv4(addresses: tuple[str, ...]) -> str | None:
    return next((address for address in addresses if ip_address(address).version == 4), None)


class _Node:
    """A JSON object of which nothing is taken for granted."""

    def __init__(self, said: object) -> None:
        self._said: Mapping[str, Any] = said if isinstance(said, Mapping) else {}

    def text(self, key: str) -> str | None:
        value = self._said.get(key)
        return value if isinstance(value, str) and value else None

    def flag(self, key: str) -> bool:
        return self._said.get(key) is True

    def texts(self, key: str) -> tuple[str, ...]:
        """Its IP addresses; Tailscale writes null for none."""
        value = self._said.get(key)
        return tuple(filter(_is_address, value)) if isinstance(value, list) else ()

    def node(self, key: str) -> _Node:
        return _Node(self._said.get(key))

    def nodes(self, key: str) -> list[_Node]:
        return [_Node(value) for value in self.node(key)._said.values()]

    def dns_name(self) -> str | None:
        return (self.text("DNSName") or "").rstrip(".") or None

    def name(self) -> str | None:
        """As the tailnet calls it; HostName is the machine's own idea, and may have spaces."""
        return (self.dns_name() or "").split(".")[0] or self.text("HostName")

    def instant(self, key: str) -> float | None:
        try:
            moment = datetime.fromisoformat(self.text(key) or "")
        except ValueError:
            return None
        return moment.timestamp() if moment.tzinfo and moment.year > 1 else None  # Go writes year 1 for "never"

    def peer(self) -> Peer:
        return Peer(
            name=self.name() or "",
            dns_name=self.dns_name(),
            addresses=self.texts("TailscaleIPs"),
            online=self.flag("Online"),
            os=self.text("OS"),
        )


def _is_address(value: object) -> bool:
    try:
        ip_address(str(value))
    except ValueError:
        return False
    return isinstance(value, str)
