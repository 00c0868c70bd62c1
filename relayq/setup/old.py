"""What relayq 1.x left on a broker's machine: found, named, and retired with copies from which it can be had back."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from relayq.effects import Effects, run_command
from relayq.embedded_wire import ask
from relayq.self_starters import cron_lines, scripts_in, system_units, text_of
from relayq.setup.places import Places
from relayq.setup.preflight import OURS

STOCK_UNIT = "redis-server.service"
_KOMBU = "_kombu.binding.celery"  #: every broker of Celery has this key
_RETIRED = "# retired by relayq: "


@dataclass(frozen=True)
class Old:
    """What was found."""

    units: tuple[Path, ...] = ()  #: services and timers that mention relayq and Redis
    cron: tuple[tuple[Path, tuple[str, ...]], ...] = ()  #: tables, and their lines that do
    redis: Path | None = None  #: the configuration of the distribution's Redis, if 1.x used it
    redis_port: int = 6379
    open_because: tuple[str, ...] = ()  #: what makes that Redis an open one

    def __bool__(self) -> bool:
        return bool(self.units or self.cron or self.redis)

    def sentences(self) -> Iterator[str]:
        """What it is, for people."""
        for unit in self.units:
            yield f"{unit.name} looks after relayq and Redis ({unit})"
        for table, lines in self.cron:
            for line in lines:
                yield f"{table} has: {line.strip()}"
        if self.redis:
            yield f"{STOCK_UNIT} serves relayq 1.x, open to everybody: {', '.join(self.open_because)} ({self.redis})"


def find(places: Places) -> Old:
    """Look for it. Asks the old Redis one harmless question."""
    root = places.root
    units, cron = tuple(sorted(_units(root))), tuple(_cron(root))
    conf = root / "etc/redis/redis.conf"
    port, reasons = _open_redis(conf)
    used = bool(reasons) and (bool(units or cron) or _has_celery(port)) and _lives()
    return Old(units, cron, conf if used else None, port, tuple(reasons) if used else ())


def retire(old: Old, places: Places, effects: Effects) -> None:
    """End it, with copies in RELAYQ_HOME/retired and a script there that brings it back. Its data stay."""
    folder = places.home / "retired"
    effects.folder(folder, mode=0o700)
    back = [
        "#!/bin/sh",
        "# Brings back what `relayq setup broker` retired. First: relayq setup broker --uninstall",
        "set -eu",
    ]
    for unit in old.units:
        effects.run(["systemctl", "disable", "--now", unit.name], why="retire", check=False)
    for unit in old.units:
        back.append(_kept(unit, folder, effects))
        effects.remove(unit)
    for table, lines in old.cron:
        back.append(_kept(table, folder, effects))
        text = "\n".join(
            f"{_RETIRED}{line}" if line in lines else line for line in table.read_text("utf-8").splitlines()
        )
        # Not through effects.file: this is somebody else's file, and uninstalling must not remove it.
        effects.run(["tee", str(table)], why=f"silence {len(lines)} in", stdin=f"{text}\n")
    if old.units:
        effects.run(["systemctl", "daemon-reload"], check=False)
        back.append("systemctl daemon-reload")
        back += [f"systemctl enable --now {shlex.quote(unit.name)}" for unit in _to_enable(old.units)]
    if old.redis:
        back.append(_kept(old.redis, folder, effects))
        effects.run(["systemctl", "disable", "--now", STOCK_UNIT], why="retire")
        back.append(f"systemctl enable --now {STOCK_UNIT}")
    script = folder / "bring-back.sh"
    effects.file(script, "\n".join(back) + "\n", mode=0o700)
    effects.say(f"  to have relayq 1.x back one day: sudo sh {script}")


def _kept(file: Path, folder: Path, effects: Effects) -> str:
    """Copy a file; the line that copies it back."""
    copy = folder / str(file).strip("/").replace("/", "-")
    effects.run(["cp", "-p", str(file), str(copy)], why="keep a copy")
    if not effects.dry_run:
        effects.receipt.note_file(copy, None)
    return f"cp -p {shlex.quote(str(copy))} {shlex.quote(str(file))}"


def _to_enable(units: tuple[Path, ...]) -> list[Path]:
    timers = [unit for unit in units if unit.suffix == ".timer"]
    started = {timer.stem for timer in timers}
    return [*timers, *(unit for unit in units if unit.suffix == ".service" and unit.stem not in started)]


def _units(root: Path) -> Iterator[Path]:
    for unit in system_units(root):
        service = unit.file
        if service.is_symlink() or service.name in (*OURS, "relayq-worker.service"):
            continue
        if _concerns(text_of(service), root):
            yield service
            if unit.name.endswith(".timer"):
                yield service.with_name(unit.name)


def _cron(root: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    for table, lines in groupby(cron_lines(root), key=lambda line: line.file):
        theirs = tuple(line.text for line in lines if _concerns(line.text, root))
        if theirs and not table.is_symlink():
            yield table, theirs


def _concerns(text: str, root: Path) -> bool:
    """Whether it, with the scripts it calls, is about relayq and Redis."""
    whole = "".join([text, *scripts_in(text, root)]).lower()
    return "redis" in whole and "relayq" in whole


def _open_redis(conf: Path) -> tuple[int, list[str]]:
    """(port, what leaves it open) of a configuration."""
    said: dict[str, str] = {}
    for line in text_of(conf).splitlines():
        key, _, value = line.strip().partition(" ")
        if key and not key.startswith("#"):
            said[key.lower()] = value.strip()
    port = int(said["port"]) if said.get("port", "").isdecimal() else 6379
    if not said or "requirepass" in said or "aclfile" in said:
        return port, []
    reasons = ["protected-mode no"] if said.get("protected-mode") == "no" else []
    addresses = said.get("bind", "*").split()
    if any(address.lstrip("-") not in ("127.0.0.1", "::1", "localhost") for address in addresses):
        reasons.append(f"bind {' '.join(addresses)}")
    return port, reasons if len(reasons) == 2 else []


def _has_celery(port: int) -> bool:
    try:
        return ask(port, None, "EXISTS", _KOMBU) == ":1"
    except (OSError, ValueError):
        return False


def _lives() -> bool:
    """Whether the distribution's Redis runs, or will at the next boot."""
    asked = (run_command(["systemctl", verb, "-q", STOCK_UNIT], check=False) for verb in ("is-active", "is-enabled"))
    return any(done.returncode == 0 for done in asked)
