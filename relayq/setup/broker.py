"""Makes this machine the broker: Redis of its own, passwords, the server; and shows that it serves whom it should."""

from __future__ import annotations

import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from relayq import service, tailnet
from relayq.config import DEFAULT_PORT, Settings
from relayq.effects import Effects
from relayq.errors import SetupError
from relayq.setup import access, config_file, engine, old, preflight, proof, redis_service, running, venvs, way_in
from relayq.setup.access import Access
from relayq.setup.places import Places
from relayq.store import acl

USER = "relayq"
SERVER_PORT = 7117


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What was asked for; None: as it is, or the usual."""

    user: str  #: whose ~/.relayq gets the access
    port: int | None = None
    server_port: int | None = None
    maxmemory_bytes: int | None = None
    rotate_password: bool = False
    yes: bool = False


def set_up(wishes: Wishes, places: Places, effects: Effects) -> None:
    """All of it; what is there already and right is left alone. Raises SetupError with what is in the way."""
    known = access.kept(places.config)
    port = wishes.port or _kept_port(effects) or DEFAULT_PORT
    server_port = wishes.server_port or int(effects.receipt.facts.get("server_port") or SERVER_PORT)
    person = _person(wishes.user)
    found = old.find(places)
    retired = {found.redis_port} if found.redis and wishes.yes else set[int]()
    wanted = {port: "--port", server_port: "--server-port"}
    problems = [*preflight.of_broker(wanted, retired=retired, rehearsal=effects.dry_run), *_of_old(found, wishes.yes)]
    preflight.check(problems)
    effects.say(f"making this machine relayq's broker: Redis on port {port}, the server on port {server_port}")
    _say_network(effects)

    if found:
        effects.say("relayq 1.x is retired:")
        old.retire(found, places, effects)
    _make_home(places, effects)
    program = venvs.activate(places, effects)
    redis_engine = engine.provide(places, effects)
    passwords = access.new() if known is None or wishes.rotate_password else known
    groups = _groups(passwords, port, server_port)
    # First, so that a password that Redis knows is never lost.
    config_file.write(effects, places.config, groups, replace=["broker"], mode=0o640, owner=f"root:{USER}")
    addresses = redis_service.start(
        redis_engine,
        passwords,
        port=port,
        maxmemory_bytes=wishes.maxmemory_bytes,
        program=program,
        effects=effects,
        known=known,
    )
    _give_access(person, groups, effects)
    if not effects.dry_run:
        proof.check(passwords, port, addresses)
        effects.receipt.note_fact("port", port)
        effects.receipt.note_fact("server_port", server_port)
        effects.receipt.note_fact("user", wishes.user)
    _serve(places, program, server_port, effects)
    if not effects.dry_run:
        where = " and ".join(["127.0.0.1", *addresses])
        effects.say(f"the broker serves on {where}, port {port}: with a password, and to nobody without")
    way_in.show(groups["broker"]["admin_url"], server_port, effects)
    if not effects.dry_run:
        effects.say("next, to let a machine join: relayq token new")


def home_of(user: str) -> Path:
    """Where a person's settings are. Raises SetupError if there is no such user."""
    return Path(_person(user).pw_dir) / ".relayq"


def _of_old(found: old.Old, yes: bool) -> Iterator[str]:
    if found and not yes:
        listed = "; ".join(found.sentences())
        yield f"relayq 1.x is here and would fight with it: {listed}. To retire it, with copies kept: --yes"


def _say_network(effects: Effects) -> None:
    net = tailnet.look()
    if not net.online:
        effects.say(
            f"note: {net.trouble}. Until then only this machine reaches the broker; it listens on the Tailscale "
            "address as soon as there is one"
        )


def _person(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user)
    except KeyError:
        raise SetupError(f"there is no user {user} on this machine; name one with --user") from None


def _kept_port(effects: Effects) -> int | None:
    return int(effects.receipt.facts.get("port") or 0) or None


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _make_home(places: Places, effects: Effects) -> None:
    if not _exists(USER):
        shell = "/usr/sbin/nologin"
        home = str(places.home)
        effects.run(
            ["useradd", "--system", "--user-group", "--home-dir", home, "--shell", shell, USER], why="add a user"
        )
        effects.receipt.users.append(USER)
    # Root's: what the server's user could write there would be believed when relayq is uninstalled.
    effects.folder(places.home, mode=0o711)
    effects.receipt.role = "broker"
    if not effects.dry_run:
        effects.receipt.save()
        effects.receipt.note_folder(places.home)
    effects.folder(places.home / "server", mode=0o700, owner=USER)  # what the server may forget: its index
    effects.link(places.home / "wheels", places.current / "wheel")


def _groups(passwords: Access, port: int, server_port: int) -> dict[str, dict[str, Any]]:
    """The settings of those who administer."""
    urls = {"url": passwords.url(acl.SUBMITTER, port), "admin_url": passwords.url(acl.ADMIN, port)}
    return {"broker": urls, "server": {"port": server_port}}


def _give_access(person: pwd.struct_passwd, groups: dict[str, dict[str, Any]], effects: Effects) -> None:
    """Let a person submit and administer from this machine."""
    home = home_of(person.pw_name)
    # A worker of this machine keeps its own user.
    theirs = _joined_url(home / "config.yml")
    broker = {**groups["broker"], **({"url": theirs} if theirs else {})}
    effects.folder(home, mode=0o700, owner=person.pw_name)
    config_file.write(
        effects, home / "config.yml", {**groups, "broker": broker}, replace=["broker"], owner=person.pw_name
    )


def _joined_url(config: Path) -> str | None:
    """The broker's URL in a config.yml, if a worker's user is in it."""
    url = config_file.value(config, "broker", "url")
    return url if isinstance(url, str) and (urlsplit(url).username or "").startswith(acl.WORKER_PREFIX) else None


def _serve(places: Places, program: Path, server_port: int, effects: Effects) -> None:
    if effects.dry_run and not _exists(USER):  # whom systemd could not name yet
        effects.say(f"  would have systemd run relayq-server.service ({program} server) as {USER}")
        return
    manager = service.manager(system=True)
    running.look(places, effects)
    manager.install(service.server_unit(Settings(home=places.home), user=USER, argv=(str(program),)), effects)
    if not effects.dry_run:
        running.note(places, effects)
        proof.await_server(server_port, manager.log_command("server", 15, False))
