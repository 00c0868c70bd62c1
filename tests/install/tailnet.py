"""Who is in the tailnet, for the stand-in for `tailscale` to tell on each node.

The command is `stubs/tailscale`. It reads the files that are written here, which each node sees in /run/tailnet, and
the address of the node's own tailscale0. It is told what a test decides: that a link was cut it does not notice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, Literal

State = Literal["Running", "Stopped", "NeedsLogin", "NeedsMachineAuth", "Starting", "NoState", "down"]

STUB = Path(__file__).parent / "stubs" / "tailscale"
SUFFIX = "tail0000.ts.net"
SEEN_AT = "/run/tailnet"


@dataclass(frozen=True, kw_only=True)
class Member:
    """A node, as the tailnet knows it."""

    name: str
    folder: Path  #: where its command reads
    address: str | None  #: in the tailnet
    state: State = "Running"  #: "down": its tailscaled does not run
    on: bool = False  #: whether the machine is

    @property
    def online(self) -> bool:
        """As it and its peers see it."""
        return self.on and self.state == "Running" and self.address is not None


class Tailnet:
    """All members. Each is told what becomes of the others."""

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._lock = Lock()

    def join(self, member: Member) -> None:
        """From now on others see it."""
        member.folder.mkdir()
        with self._lock:
            self._members[member.name] = member
            self._tell()

    def update(self, name: str, **changed: Any) -> None:
        """Something about a member is otherwise: its `address`, `state`, or whether it is `on`."""
        with self._lock:
            self._members[name] = replace(self._members[name], **changed)
            self._tell()

    def leave(self, name: str) -> None:
        """The others do not see it any more."""
        with self._lock:
            self._members.pop(name, None)
            self._tell()

    def _tell(self) -> None:
        for member in self._members.values():
            others = [each for each in self._members.values() if each.name != member.name and each.address]
            for name, text in {
                "name": member.name,
                "key": _key(member),
                "state": member.state,
                "online": json.dumps(member.online),
                "suffix": SUFFIX,
                "peers": json.dumps({f"nodekey:{_key(other)}": _peer(other) for other in others}),
            }.items():
                beside = member.folder / f".{name}"
                beside.write_text(f"{text}\n")
                beside.replace(member.folder / name)


def _peer(member: Member) -> dict[str, Any]:
    return {
        "ID": f"n{_key(member)[:8]}",
        "PublicKey": f"nodekey:{_key(member)}",
        "HostName": member.name,
        "DNSName": f"{member.name}.{SUFFIX}.",
        "OS": "linux",
        "UserID": 1,
        "TailscaleIPs": [member.address],
        "Online": member.online,
        "Active": False,
        "ExitNode": False,
    }


def _key(member: Member) -> str:
    return member.name.encode().hex().ljust(64, "0")[:64]
