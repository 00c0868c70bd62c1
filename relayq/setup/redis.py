"""What relayq's own Redis is told: its configuration, its unit, its place in the system, as text. Does nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from relayq.embedded_tuning import tuning
from relayq.setup.places import Places

TEMPLATE_UNIT = "redis-server@relayq.service"  #: an instance of the unit that Debian's package brings
OWN_UNIT = "relayq-redis.service"


@dataclass(frozen=True, kw_only=True)
class Engine:
    """The Redis that is ours: which program, as whom, under which unit."""

    program: str
    number: tuple[int, int]  #: its version
    template: bool  #: the distribution's unit, with a drop-in; False: a unit of our own
    places: Places

    @property
    def unit(self) -> str:
        """The service's name."""
        return TEMPLATE_UNIT if self.template else OWN_UNIT

    @property
    def user(self) -> str:
        """Whose process it is."""
        return "redis" if self.template else "relayq"

    @property
    def data(self) -> Path:
        """What it keeps; `users.acl` and `bind.conf` with it."""
        return data_folder(self.places)

    @property
    def conf(self) -> Path:
        """Where its configuration is; the template's unit says it."""
        folder = "redis" if self.template else "relayq"
        return self.places.root / "etc" / folder / "redis-relayq.conf"

    @property
    def unit_file(self) -> Path:
        """Our own unit, or the drop-in to the distribution's."""
        units = self.places.root / "etc/systemd/system"
        return units / f"{TEMPLATE_UNIT}.d" / "relayq.conf" if self.template else units / OWN_UNIT


def data_folder(places: Places) -> Path:
    """Where Redis keeps relayq's data."""
    return places.root / "var/lib/redis-relayq"


def acl_file(places: Places) -> Path:
    """Redis' users; it writes the file itself when machines join."""
    return data_folder(places) / "users.acl"


def bind_file(places: Places) -> Path:
    """The one line that follows the Tailscale address."""
    return data_folder(places) / "bind.conf"


def bind_text(addresses: list[str]) -> str:
    """Loopback, and these addresses."""
    return f"bind 127.0.0.1 {' '.join(addresses)}".rstrip() + "\n"


def conf_text(engine: Engine, *, port: int, maxmemory_bytes: int) -> str:
    """The configuration."""
    pidfile = "pidfile /run/redis-relayq/redis-server.pid\n" if engine.template else ""
    return f"""\
# relayq's Redis. Written by `relayq setup broker`, which keeps a changed file and writes the new one beside it.
include {bind_file(engine.places)}
port {port}
aclfile {acl_file(engine.places)}
dir {engine.data}
{pidfile}{tuning(engine.number, maxmemory_bytes)}"""


def unit_text(engine: Engine, relayq: Path) -> str:
    """The drop-in, or our own unit. systemd alone starts Redis again, for ever. `relayq`: our program."""
    # "-": with what was written last it starts, too. "+": as root, outside of its sandbox.
    common = f"""\
ExecStartPre=-+{relayq} setup bind
Restart=always
RestartSec=1
# Reading much data back takes its time; so does writing the last of it.
TimeoutStartSec=15min
TimeoutStopSec=30
"""
    if engine.template:
        return f"""\
# Written by `relayq setup broker`.
[Unit]
Description=Redis of relayq
After=tailscaled.service
StartLimitIntervalSec=0

[Service]
{common}ReadWritePaths={engine.data}
"""
    return f"""\
# Written by `relayq setup broker`.
[Unit]
Description=Redis of relayq
After=network.target tailscaled.service
StartLimitIntervalSec=0

[Service]
ExecStart={engine.program} {engine.conf}
User={engine.user}
Group={engine.user}
{common}UMask=0077
LimitNOFILE=65535
NoNewPrivileges=true
CapabilityBoundingSet=
PrivateDevices=true
PrivateTmp=true
ProtectSystem=strict
ProtectHome=true
ProtectClock=true
ProtectControlGroups=true
ProtectHostname=true
ProtectKernelLogs=true
ProtectKernelModules=true
ProtectKernelTunables=true
LockPersonality=true
MemoryDenyWriteExecute=true
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=true
RestrictRealtime=true
RestrictSUIDSGID=true
SystemCallArchitectures=native
SystemCallFilter=@system-service
ReadWritePaths={engine.data}

[Install]
WantedBy=multi-user.target
"""
