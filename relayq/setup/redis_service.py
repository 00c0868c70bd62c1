"""Puts relayq's Redis in its place and has systemd run it; restarted only if what it reads has changed."""

from __future__ import annotations

import secrets
from contextlib import closing, suppress
from pathlib import Path

from relayq.effects import Effects, run_command
from relayq.embedded_tuning import memory_limit
from relayq.embedded_wire import ask
from relayq.errors import SetupError
from relayq.receipt import sha256_of
from relayq.setup import access, bind, proof, redis
from relayq.setup.access import Access
from relayq.setup.redis import Engine
from relayq.setup.shared_files import write_over
from relayq.store import acl
from relayq.store.admin import Admin

_PROOF_KEY = "relayq-admin:setup-proof"
_OVERCOMMIT = Path("/proc/sys/vm/overcommit_memory")
_SYSCTL = """\
# Written by `relayq setup broker`: Redis copies itself to write its file anew, and needs no more memory for that.
vm.overcommit_memory=1
"""


def start(
    engine: Engine,
    passwords: Access,
    *,
    port: int,
    maxmemory_bytes: int | None,
    program: Path,
    effects: Effects,
    known: Access | None,
) -> list[str]:
    """Have it run as it should; the addresses it listens on besides loopback. `known`: the passwords until now."""
    limit = maxmemory_bytes or effects.receipt.facts.get("maxmemory_bytes") or memory_limit()
    addresses = _write(engine, passwords, redis.conf_text(engine, port=port, maxmemory_bytes=limit), program, effects)
    _sysctl(engine, effects)
    if effects.dry_run:
        effects.run(["systemctl", "enable", "--now", engine.unit], why="start Redis, now and at boot")
        return addresses
    if maxmemory_bytes:
        effects.receipt.note_fact("maxmemory_bytes", maxmemory_bytes)
    effects.receipt.note_unit(f"systemd {engine.unit}")
    read = _what_it_reads(engine, passwords)
    if not _is("enabled", engine.unit):
        effects.run(["systemctl", "enable", engine.unit], why="start Redis at boot")
    if not _is("active", engine.unit):
        effects.run(["systemctl", "start", engine.unit], why="start Redis", timeout=900)
    elif effects.receipt.facts.get("redis_reads") != read:
        _restart(engine, known, passwords, effects)
    proof.await_serving(passwords, port, engine.unit)
    with closing(Admin(passwords.url(acl.ADMIN, port))) as admin:
        if admin.bind(["127.0.0.1", *addresses]):
            effects.say("  have Redis listen on " + " ".join(["127.0.0.1", *addresses]))
    effects.receipt.note_fact("redis_reads", read)
    effects.receipt.note_fact("redis_port", port)
    return addresses


def _write(engine: Engine, passwords: Access, conf: str, program: Path, effects: Effects) -> list[str]:
    """Its files; the addresses in bind.conf."""
    both = f"{engine.user}:{engine.user}"
    effects.folder(engine.conf.parent)
    # 0711: names in it are no secret, and a rehearsal without root can look.
    effects.folder(engine.data, mode=0o711, owner=both)
    effects.file(engine.conf, conf, mode=0o640, owner=f"root:{engine.user}")
    addresses = bind.present_addresses()
    if not effects.dry_run:
        addresses = bind.write_bind(engine.places)
    _write_acl(engine, passwords, both, effects)
    effects.folder(engine.unit_file.parent)
    if effects.file(engine.unit_file, redis.unit_text(engine, program)):
        effects.run(["systemctl", "daemon-reload"])
    return addresses


def _write_acl(engine: Engine, passwords: Access, owner: str, effects: Effects) -> None:
    path = redis.acl_file(engine.places)
    rules = access.rules_sha256(passwords)
    try:
        there = path.read_text("utf-8")
    except FileNotFoundError:
        there = ""
    except PermissionError:  # a rehearsal without root
        return
    if there and effects.receipt.facts.get("acl_rules") == rules:
        return  # Redis writes it: it is not ours to compare
    write_over(effects, path, there, access.refreshed_acl(there, passwords), owner=owner)
    if not effects.dry_run:
        effects.receipt.note_fact("acl_rules", rules)


def _what_it_reads(engine: Engine, passwords: Access) -> str:
    texts = [path.read_text("utf-8") for path in (engine.conf, engine.unit_file)]
    return sha256_of("\0".join([*texts, access.rules_sha256(passwords)]))


def _restart(engine: Engine, known: Access | None, passwords: Access, effects: Effects) -> None:
    """A new process, which must have what the old one had."""
    port = effects.receipt.facts.get("redis_port")
    told = secrets.token_hex(8)
    asked = known and port and _as_admin(port, known, "SET", _PROOF_KEY, told) == "+OK"
    effects.run(["systemctl", "restart", engine.unit], why="restart Redis: what it reads has changed", timeout=900)
    if not asked:
        return
    new_port = _port_in(engine.conf)
    proof.await_serving(passwords, new_port, engine.unit)
    found = _as_admin(new_port, passwords, "GETDEL", _PROOF_KEY)
    if found != told:
        raise SetupError(
            f"Redis has lost data in a restart: a key written just before is {found or 'gone'}. See its log: "
            f"journalctl -u {engine.unit}"
        )


def _as_admin(port: int, passwords: Access, *command: str) -> str | None:
    try:
        return ask(port, passwords.admin, *command, user=acl.ADMIN)
    except (OSError, ValueError):
        return None


def _port_in(conf: Path) -> int:
    return int(next(line.split()[1] for line in conf.read_text("utf-8").splitlines() if line.startswith("port ")))


def _sysctl(engine: Engine, effects: Effects) -> None:
    folder = engine.places.root / "etc/sysctl.d"
    if folder.is_dir() and effects.file(folder / "60-relayq.conf", _SYSCTL):
        with suppress(OSError):
            if not effects.dry_run:
                effects.receipt.note_fact("overcommit_memory", int(_OVERCOMMIT.read_text()))
        # Refused in containers; Redis runs without it.
        effects.run(["sysctl", "-q", "-w", "vm.overcommit_memory=1"], check=False)


def _is(what: str, unit: str) -> bool:
    return run_command(["systemctl", f"is-{what}", "--quiet", unit], check=False).returncode == 0
