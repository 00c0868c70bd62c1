"""What the checks look at: the settings, and answers that several of them need, each asked for once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from relayq.config import DEFAULT_PORT, Settings
from relayq.doctor.sources import COMMAND_PATIENCE, Once, Sources
from relayq.errors import BrokerUnavailable, RelayqError
from relayq.model import WorkerState
from relayq.receipt import Receipt
from relayq.service.model import Name, Status
from relayq.store.health import Health
from relayq.tailnet import Tailnet

BROKER_HOME = "/var/lib/relayq"


@dataclass
class Context:
    """This machine, for the checks. `root` is where its files begin (tests have others)."""

    settings: Settings
    trouble: str | None = None  #: why these are not the settings that were meant
    root: Path = Path("/")
    platform: str = sys.platform
    sources: Sources = field(default_factory=Sources)

    def __post_init__(self) -> None:
        self._health = Once(lambda: self.sources.redis(self.url))
        self._tailnet = Once(self.sources.tailnet)
        self._workers = Once(lambda: self.sources.workers(self.settings))
        self._addresses = Once(lambda: self.sources.addresses(self.host))
        self._served = Once(lambda: self.sources.server(self.server_url))
        self._receipt = Once(lambda: _receipt(self.settings.home))
        self._services: dict[Name, Once[Status | None]] = {
            "worker": Once(lambda: self.sources.service("worker")),
            "server": Once(lambda: self.sources.service("server")),
        }

    # ── the broker ──

    @property
    def url(self) -> str:
        """The broker's URL; empty if none is configured."""
        return self.settings.broker_url or ""

    @property
    def host(self) -> str:
        """The broker's host; empty for a Unix socket, or if none is configured."""
        return "" if self.url.startswith("unix:") else urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The broker's port."""
        return urlsplit(self.url).port or DEFAULT_PORT

    @property
    def addresses(self) -> tuple[str, ...]:
        """The broker's IP addresses; none if its name is not known to anybody."""
        return self._addresses()

    @property
    def health(self) -> Health | None:
        """What Redis says; None if it cannot be asked, which is a finding of the check "broker" alone."""
        try:
            return self.ask_broker() if self.url else None
        except BrokerUnavailable:
            return None

    def ask_broker(self) -> Health:
        """As `health`. Raises BrokerUnavailable, BrokerRefused."""
        return self._health()

    @property
    def workers(self) -> list[WorkerState] | None:
        """Every known worker; None if the broker cannot be asked."""
        try:
            return self.ask_workers()[1] if self.health else None
        except BrokerUnavailable:
            return None

    def ask_workers(self) -> tuple[float, list[WorkerState]]:
        """The store's time, and every known worker. Raises BrokerUnavailable, BrokerRefused."""
        return self._workers()

    @property
    def server_url(self) -> str:
        """Where the broker's machine answers; empty if that is not known here."""
        return self.settings.server_url or (f"http://127.0.0.1:{self.settings.server_port}" if self.is_broker else "")

    def ask_server(self) -> str:
        """Which version of relayq the broker's machine serves. Raises SetupError."""
        return self._served()

    # ── what this machine is ──

    @property
    def tailnet(self) -> Tailnet:
        """What Tailscale says."""
        return self._tailnet()

    @property
    def is_broker(self) -> bool:
        """Whether relayq's broker was set up here (not: started by `relayq up`)."""
        if self.settings.admin_url or os.path.isdir(self.path(BROKER_HOME)):  # noqa: PTH112 - never raises
            return True
        return self.receipt.role == "broker"

    @property
    def broker_unit(self) -> str:
        """systemd's name of the Redis that was set up here: one of our own where the distribution's is too old."""
        own = "relayq-redis.service"
        return own if self.path(f"/etc/systemd/system/{own}").exists() else "redis-server@relayq.service"

    @property
    def is_worker(self) -> bool:
        """Whether a worker has ever run in this RELAYQ_HOME."""
        return self.identity is not None

    @property
    def identity(self) -> str | None:
        """The id of this RELAYQ_HOME."""
        try:
            return (self.settings.home / "identity").read_text("utf-8").strip() or None
        except (OSError, ValueError):
            return None

    @property
    def receipt(self) -> Receipt:
        """What setup has done to this machine."""
        return self._receipt()

    @property
    def worker(self) -> WorkerState | None:
        """This machine's worker as the store knows it."""
        known = self.workers or []
        mine = [state for state in known if state.info.identity == self.identity]
        named = [state for state in mine if state.info.name == self.settings.worker_name]
        return max(named or mine, key=lambda state: state.seen_at, default=None)

    @property
    def runs_redis(self) -> bool:
        """Whether the broker's address is one of this machine's."""
        if self.url.startswith("unix:"):
            return True
        own = {a.address.partition("%")[0] for entries in psutil.net_if_addrs().values() for a in entries}
        return any(ip_address(address).is_loopback or address in own for address in self.addresses)

    @property
    def is_pi(self) -> bool:
        """Whether this is a Raspberry Pi."""
        return "Raspberry Pi" in (self.read("/proc/device-tree/model") or "")

    def service(self, name: Name) -> Status | None:
        """How that service stands; None where neither systemd nor launchd runs."""
        return self._services[name]()

    # ── looking ──

    def path(self, absolute: str) -> Path:
        """A file of the system."""
        return self.root / absolute.lstrip("/")

    def read(self, absolute: str) -> str | None:
        """Its text; None if it cannot be read."""
        try:
            return self.path(absolute).read_text("utf-8", errors="replace").rstrip("\0\n")
        except OSError:
            return None

    def ask(self, *argv: str) -> str | None:
        """What a command that changes nothing prints, whatever its exit code; None if it is not there or hangs."""
        program = shutil.which(argv[0], path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
        if program is None:
            return None
        try:
            done = subprocess.run(
                [program, *argv[1:]],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=COMMAND_PATIENCE,
                env={**os.environ, "LC_ALL": "C"},
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.decode(errors="replace").strip()


def context_for(env: Mapping[str, str] | None = None) -> Context:
    """This machine. Settings that cannot be read are a finding, not an end."""
    from relayq.config import load

    env = os.environ if env is None else env
    try:
        return Context(load(env))
    except RelayqError as error:
        home = Path(env.get("RELAYQ_HOME") or "~/.relayq")
        return Context(Settings(home=home.expanduser().absolute()), trouble=str(error))


def _receipt(home: Path) -> Receipt:
    try:
        return Receipt.load(home / "receipt.json")
    except RelayqError:
        return Receipt(home / "receipt.json")
