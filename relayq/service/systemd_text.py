"""The text of a systemd unit. Pure.

A worker is not confined. It runs what its owner would type in a shell, and every confinement we know takes something
away from that (tried on systemd 252, `User=` set): NoNewPrivileges, and all that imply it there (RestrictRealtime,
RestrictNamespaces, RestrictSUIDSGID, RestrictAddressFamilies, LockPersonality, SystemCallArchitectures, and
ProtectKernelTunables, -Modules, -Clock, -Hostname) end `sudo`, `ping` and rootless containers; an empty
CapabilityBoundingSet ends sudo too; ProtectSystem=strict makes the user's own files read-only and =full fails
`sudo apt-get`; a mount namespace hides what a job mounts. In a user's own manager they also imply a user namespace, in
which every other user is "nobody". PrivateTmp would part a restarted worker from the jobs it adopts.

The server runs nothing for anybody, and is confined to what it does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from relayq.service.model import LOW, Unit, environment

STEPS_SINCE = 254  #: the systemd that knows RestartSteps=

_CONFINED = """\
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=read-only
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
CapabilityBoundingSet=
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM"""


def render(unit: Unit, *, system: bool, version: int, owner_home: Path) -> str:
    """The unit's text, for a systemd of this version. Raises SetupError if there is a secret in it."""
    sections = {
        "Unit": _about(unit, system),
        "Service": _service(unit, system, version, environment(unit, owner_home)),
        "Install": iter([f"WantedBy={'multi-user' if system else 'default'}.target"]),
    }
    edit = f"systemctl {'' if system else '--user '}edit relayq-{unit.name}.service"
    head = f"# Written by relayq. For changes of your own: {edit}\n"
    return head + "\n".join(f"[{name}]\n" + "".join(f"{line}\n" for line in lines) for name, lines in sections.items())


def _about(unit: Unit, system: bool) -> Iterator[str]:
    yield f"Description={_literal(unit.description)}"
    if system:
        # A user's manager knows no units of the system. Both of ours wait for their broker by themselves.
        yield "Wants=network-online.target"
        also = " redis-server@relayq.service" if unit.name == "server" else ""
        yield f"After=network-online.target tailscaled.service{also}"
    yield "# Started again for ever: an outage may last longer than any limit."
    yield "StartLimitIntervalSec=0"


def _service(unit: Unit, system: bool, version: int, env: Mapping[str, str]) -> Iterator[str]:
    yield "Type=exec"
    yield "ExecStart=" + " ".join(_word(word).replace("$", "$$") for word in unit.argv)
    if system and unit.user is not None:
        yield f"User={unit.user}"
    yield from (f"Environment={_word(f'{name}={value}')}" for name, value in env.items())
    if unit.name == "server":  # a worker's umask would be its jobs', whose files are for whoever they are for
        yield "UMask=0077"
    yield f"SyslogIdentifier=relayq-{unit.name}"
    yield "Restart=always"
    yield "RestartSec=2"
    if version >= STEPS_SINCE:
        yield "RestartSteps=5"
        yield "RestartMaxDelaySec=60"
    yield "TimeoutStopSec=15"
    if unit.name == "worker":
        yield "# Jobs go on when the worker is stopped or killed, for the next one to adopt; and a job that takes all"
        yield "# memory ends alone."
        yield "KillMode=process"
        yield "OOMPolicy=continue"
    yield from _politeness(unit)
    if unit.name == "server" and system:
        yield from _confinement(unit)


def _politeness(unit: Unit) -> Iterator[str]:
    if unit.nice is None:
        return
    yield f"Nice={unit.nice}"
    if unit.nice >= LOW:
        yield "IOSchedulingClass=idle"
    elif unit.nice > 0:
        yield "IOSchedulingClass=best-effort"
        yield "IOSchedulingPriority=7"


def _confinement(unit: Unit) -> Iterator[str]:
    yield from _CONFINED.splitlines()
    # "-": what is not there yet must not keep the server from starting.
    yield "ReadWritePaths=" + " ".join(_word(f"-{path}") for path in (unit.home, *unit.writes))


def _word(text: str) -> str:
    """One word, as systemd reads them back."""
    text = _literal(text)
    if text and not set(text) & set(" \t\n\"'\\;"):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t") + '"'


def _literal(text: str) -> str:
    return text.replace("%", "%%")
