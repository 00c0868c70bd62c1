"""A machine for the doctor: its files below a folder, its commands stubs, and what others answer as the test says."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relayq.config import Settings
from relayq.doctor.context import Context
from relayq.doctor.findings import Check, Finding
from relayq.doctor.sources import Sources, _resolved
from relayq.errors import BrokerUnavailable, SetupError
from relayq.model import WorkerInfo, WorkerState
from relayq.service.model import Status
from relayq.store.health import Ears, Health, Rights
from relayq.tailnet import NOT_INSTALLED, Tailnet

NOW = 1_800_000_000.0
URL = "redis://worker-w:secret@100.64.0.11:6379/0"

WELL = Health(
    round_trip=0.021,
    clock_ahead=0.001,
    name="redis",
    version="7.0.15",
    uptime=3600.0,
    replica=False,
    append_only=True,
    append_trouble=None,
    rewrite_trouble=False,
    eviction="noeviction",
    used_bytes=12 << 20,
    limit_bytes=512 << 20,
    machine_bytes=4 << 30,
    needs_password=True,
    refused_write=None,
    rights=Rights(write=True, script=True, configure=False, tokens=False),
    binding=None,
)
CONNECTED = Tailnet(
    installed=True, state="Running", online=True, name="vm", address="100.64.0.11", addresses=("100.64.0.11",)
)
ABSENT = Tailnet(installed=False, state=NOT_INSTALLED, online=False)
RUNS = Status(installed=True, running=True, enabled=True)
INFO = WorkerInfo(name="w", identity="id", incarnation="i", slots=2, version="")


def worker_state(**changes: Any) -> WorkerState:
    """This machine's worker, online and idle, but for `changes` (those of its info by name)."""
    info = {key: changes.pop(key) for key in list(changes) if key in WorkerInfo.__dataclass_fields__}
    return replace(WorkerState(info=replace(INFO, **info), online=True, seen_at=NOW, running=0), **changes)


class Machine:
    """A home, a root folder, and commands; `ask(check)` is what the check finds here."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "relayq-home"
        self.root = folder / "root"
        self.bin = folder / "bin"
        for path in (self.home, self.root, self.bin):
            path.mkdir()
        self.settings = Settings(home=self.home, broker_url=URL)
        self.platform = "linux"
        self.health: Health | None = WELL
        self.addresses: tuple[str, ...] | None = None  #: None: what the system's resolver says
        self.tailnet = CONNECTED
        self.workers: list[WorkerState] = []
        self.serves: str | None = None
        self.ears: Ears | None = Ears(waiting=0, heard_after=0.002)
        self.services: dict[str, Status] = {}

    def context(self) -> Context:
        """As it is now."""
        return Context(
            self.settings,
            root=self.root,
            platform=self.platform,
            sources=Sources(
                redis=self._redis,
                addresses=lambda host: _resolved(host) if self.addresses is None else self.addresses,
                tailnet=lambda: self.tailnet,
                workers=lambda _: (NOW, self.workers),
                server=self._server,
                ears=lambda *_: self.ears,
                service=self.services.get,
            ),
        )

    def ask(self, check: Check) -> list[Finding]:
        """What the check finds."""
        return check(self.context())

    def one(self, check: Check) -> Finding:
        """The only thing it finds."""
        [finding] = self.ask(check)
        return finding

    def is_worker(self) -> None:
        """A worker has run here, and is known to the broker."""
        (self.home / "identity").write_text("id")
        self.workers = [worker_state()]

    def is_broker(self) -> None:
        """relayq's broker was set up here."""
        (self.root / "var/lib/relayq").mkdir(parents=True)

    def file(self, path: str, text: str) -> Path:
        """A file of the system."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def command(self, name: str, script: str) -> Path:
        """A stub of a command, which writes what it was called with into calls."""
        file = self.bin / name
        file.write_text(f'#!/bin/sh\necho "{name} $*" >>"{self.bin}/calls"\n{script}\n')
        file.chmod(0o755)
        return file

    def calls(self) -> list[str]:
        """What was called."""
        file = self.bin / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def _redis(self, _: str) -> Health:
        if self.health is None:
            raise BrokerUnavailable(
                "the broker at nas:6379 does not answer (Connection refused). Is it running? See: x"
            )
        return self.health

    def _server(self, url: str) -> str:
        if self.serves is None:
            raise SetupError(f"no answer from {url}/version (Connection refused)")
        return self.serves


def machine_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine whose stubs come before the real commands."""
    machine = Machine(folder)
    monkeypatch.setenv("PATH", f"{machine.bin}{os.pathsep}{os.environ['PATH']}")
    return machine


def levels(findings: list[Finding]) -> list[str]:
    """How bad they are."""
    return [finding.level for finding in findings]
