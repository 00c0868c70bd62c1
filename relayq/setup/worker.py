"""Makes this machine a worker: lets it join, writes its settings, starts its service and sends it a first job."""

from __future__ import annotations

import os
import pwd
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from relayq import service
from relayq.config import Settings, load
from relayq.effects import Effects
from relayq.errors import BrokerUnavailable, SetupError
from relayq.setup import canary, config_file, running, venvs
from relayq.setup.admission import admit
from relayq.setup.joining import Joined
from relayq.setup.places import Places
from relayq.setup.profiles import PROFILES, Profile, detected


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What was asked for; None: as the file says, else by the profile."""

    server: str | None = None
    token: str | None = None
    name: str | None = None
    labels: tuple[str, ...] | None = None
    slots: int | None = None
    nice: int | None = None
    profile: str | None = None
    system: bool = False


def set_up(wishes: Wishes, places: Places, effects: Effects) -> Settings:
    """All of it; what is there already and right is left alone. The worker's settings.

    Raises SetupError; and BrokerUnavailable, after mending what is to be mended here, if only the proof is missing.
    """
    # What there is stays what it is: of the user, or of the system.
    manager = service.manager(system=True) if wishes.system or _only_root_here() else service.find("worker")
    written = read(places.home)
    profile = PROFILES[wishes.profile or detected()]
    labels = _labels(wishes, written, profile)
    server = wishes.server or written.server_url or beside(written)
    effects.say(f"making this machine a worker of {server or 'the broker in config.yml'}")
    _make_home(places, effects)
    program = venvs.activate(places, effects)
    joined, away = None, None
    settled = running.has_run(effects)
    try:
        joined = admit(
            written,
            server=server,
            token=wishes.token,
            name=wishes.name,
            labels=labels,
            settled=settled,
            effects=effects,
        )
    except BrokerUnavailable as error:
        if wishes.token or not settled:
            raise SetupError(str(error)) from None
        away = error
        effects.say(f"note: {error}. What is here is mended all the same")
    config_file.write(
        effects, places.config, _groups(wishes, written, profile, labels, server, joined), replace=["broker"]
    )
    if effects.dry_run:
        effects.say("  would install the service relayq-worker, start it, and send it a first job")
        return written
    settings = read(places.home)
    of_system = manager.kind in ("systemd-system", "launchd-daemon")
    user = pwd.getpwuid(os.geteuid()).pw_name if of_system else None
    running.look(places, effects)
    manager.install(service.worker_unit(settings, user=user, argv=(str(program),)), effects)
    running.note(places, effects)
    if away is not None:
        raise BrokerUnavailable(
            f"{settings.worker_name} is in order on this machine ({manager.status('worker').detail}), but no first job "
            f"could show it: {away}. It connects by itself when that is mended; see: relayq doctor"
        )
    canary.prove(settings, manager)
    effects.say(f"{settings.worker_name} works: a first job went to it and came back")
    if str(places.command.parent) not in os.environ.get("PATH", "").split(os.pathsep):
        effects.say(f"note: {places.command.parent} is not on your PATH; the command is {places.command}")
    return settings


def read(home: Path) -> Settings:
    """The settings as the service will read them: without what only this shell knows."""
    return load({"RELAYQ_HOME": str(home), "HOME": os.environ.get("HOME", "")})


def _only_root_here() -> bool:
    """Root without sudo (a bare server) has the service of the system; root through sudo is a sudo too many."""
    if os.geteuid():
        return False
    if os.environ.get("SUDO_USER") or os.environ.get("DOAS_USER"):
        raise SetupError("run this without sudo, as the user whose worker it is to be")
    return sys.platform == "linux"


def beside(written: Settings) -> str | None:
    """Where the server of a broker is, unless it was told otherwise."""
    host = urlsplit(written.broker_url or "").hostname
    return f"http://{f'[{host}]' if ':' in host else host}:{written.server_port}" if host else None


def _labels(wishes: Wishes, written: Settings, profile: Profile) -> tuple[str, ...]:
    if wishes.labels is not None:
        return wishes.labels
    if "worker.labels" in written.sources.get("labels", ""):
        return written.labels
    # What is not said in so many words (1.x: `priority: low`) is no list of all there shall be.
    return tuple(dict.fromkeys((*profile.labels, *written.labels)))


def _make_home(places: Places, effects: Effects) -> None:
    effects.folder(places.home, mode=0o700)
    effects.receipt.role = "worker"
    if not effects.dry_run:
        effects.receipt.save()


def _groups(
    wishes: Wishes,
    written: Settings,
    profile: Profile,
    labels: tuple[str, ...],
    server: str | None,
    joined: Joined | None,
) -> dict[str, dict[str, Any]]:
    """What config.yml shall say; what its owner wrote there counts for more than the profile."""
    said = written.sources
    worker: dict[str, Any] = {}
    groups: dict[str, dict[str, Any]] = {"worker": worker}
    if joined is not None:
        admin = {"admin_url": written.admin_url} if written.admin_url else {}
        groups["broker"] = {"url": joined.broker_url, **admin}
        worker["name"] = joined.name
        labels = joined.labels
    elif wishes.name:
        worker["name"] = wishes.name
    if server and "broker" in groups:
        groups["server"] = _server(server)
    if labels != written.labels:
        worker["labels"] = list(labels)
    slots = wishes.slots or (None if "slots" in said else profile.slots)
    if slots:
        worker["max_concurrent" if "max_concurrent" in said.get("slots", "") else "slots"] = slots
    nice = wishes.nice if wishes.nice is not None else (None if "nice" in said else profile.nice)
    if nice is not None:
        worker["nice"] = nice
    return {group: keys for group, keys in groups.items() if keys}


def _server(url: str) -> dict[str, Any]:
    """What config.yml says of the server. What others are told to paste begins with its URL: loopback is of no use."""
    parts = urlsplit(url)
    return {"port": parts.port or 80} if parts.hostname in ("127.0.0.1", "localhost", "::1") else {"url": url}
