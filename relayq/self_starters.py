"""What starts by itself on this machine: systemd's units and timers, cron, launchd's agents, monit. Only looks."""

from __future__ import annotations

import plistlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Ask = Callable[..., str | None]  #: a command's words → what it prints; None if it is not there
Kind = Literal["unit", "line", "script", "agent", "rule"]

_CRON_TABLES = ("/etc/cron.d", "/var/spool/cron/crontabs")
_CRON_SCRIPTS = ("/etc/cron.hourly", "/etc/cron.daily", "/etc/cron.weekly")
_UNIT_FOLDERS = ("/etc/systemd/system", "/usr/local/lib/systemd/system")
_AGENT_FOLDERS = ("/Library/LaunchAgents", "/Library/LaunchDaemons")
_MONIT_FOLDERS = ("/etc/monit/conf.d", "/etc/monit/conf-enabled", "/etc/monit.d")
_PROGRAM = re.compile(r"(?<![\w.])/[\w.+/@-]+")
_SCRIPT_BYTES = 1 << 17


@dataclass(frozen=True)
class SelfStarter:
    """Something that runs by itself, and what it runs."""

    kind: Kind  #: a unit, a line of a cron table, a script of cron's, launchd's, monit's
    name: str
    file: Path
    text: str
    end: str  #: the command that ends it


def self_starters(root: Path, home: Path, ask: Ask) -> Iterator[SelfStarter]:
    """All that can be read by whoever asks. Units that are disabled and do not run are left out."""
    for unit in system_units(root):
        if not _at_rest(ask, "systemctl", unit=unit.name):
            yield unit
    for unit in _units(home / ".config/systemd/user", "systemctl --user"):
        if not _at_rest(ask, "systemctl", "--user", unit=unit.name):
            yield unit
    for agents in (home / "Library/LaunchAgents", *_folders(root, _AGENT_FOLDERS)):
        yield from _agents(agents)
    yield from cron_lines(root)
    yield from _table("your crontab", Path("crontab"), ask("crontab", "-l") or "", "crontab -e")
    for file in (f for folder in _folders(root, _CRON_SCRIPTS) for f in _files(folder)):
        yield SelfStarter("script", file.name, file, text_of(file), f"sudo chmod -x {file}")
    for file in (f for folder in _folders(root, _MONIT_FOLDERS) for f in _files(folder)):
        text = f"{text_of(file)} restart"
        yield SelfStarter("rule", f"monit ({file.name})", file, text, f"sudo mv {file} {file}.off")


def system_units(root: Path) -> Iterator[SelfStarter]:
    """The services of the system that somebody has put there, on or off, by their timers if they have any."""
    for folder in _folders(root, _UNIT_FOLDERS):
        yield from _units(folder, "sudo systemctl")


def cron_lines(root: Path) -> Iterator[SelfStarter]:
    """The lines of the system's tables and, for root, of its users'."""
    for file in (f for folder in _folders(root, _CRON_TABLES) for f in _files(folder)):
        yield from _table(file.name, file, text_of(file), f"sudo mv {file} {file}.off")
    table = root / "etc/crontab"
    yield from _table("crontab", table, text_of(table), "sudo nano /etc/crontab")


def scripts_in(text: str, root: Path) -> list[str]:
    """The texts of the scripts that are called there by their whole paths."""
    return [script for word in _PROGRAM.findall(text) if (script := _script(root / word.lstrip("/")))]


def text_of(file: Path) -> str:
    """Its text; empty if it cannot be read."""
    try:
        return file.read_text("utf-8", errors="replace")
    except OSError:
        return ""


def _units(folder: Path, systemctl: str) -> Iterator[SelfStarter]:
    for file in _files(folder, ".service"):
        runs = "\n".join(re.findall(r"^Exec(?:Start|StartPre|StartPost)=(.+)$", text_of(file), re.MULTILINE))
        timer = file.with_suffix(".timer")
        unit = timer.name if timer.exists() else file.name
        if runs:
            yield SelfStarter("unit", unit, file, f"{file.stem}\n{runs}", f"{systemctl} disable --now {unit}")


def _at_rest(ask: Ask, *systemctl: str, unit: str) -> bool:
    enabled, active = ask(*systemctl, "is-enabled", unit), ask(*systemctl, "is-active", unit)
    return enabled in {"disabled", "masked"} and active in {"inactive", "failed"}


def _agents(folder: Path) -> Iterator[SelfStarter]:
    for file in _files(folder, ".plist"):
        try:
            said = plistlib.loads(file.read_bytes())
        except (OSError, plistlib.InvalidFileException, ValueError):
            continue
        words = [said.get("Program", ""), *said.get("ProgramArguments", ())] if isinstance(said, dict) else []
        domain = "system" if "LaunchDaemons" in folder.name else "gui/$(id -u)"
        end = f"{'sudo ' if domain == 'system' else ''}launchctl bootout {domain} {file}"
        yield SelfStarter("agent", file.name, file, " ".join([file.stem, *map(str, words)]), end)


def _table(name: str, file: Path, text: str, end: str) -> Iterator[SelfStarter]:
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield SelfStarter("line", f'{name} ("{_shortened(line)}")', file, line, end)


def _shortened(line: str) -> str:
    words = " ".join(line.split())
    return words if len(words) <= 60 else f"{words[:59]}…"


def _folders(root: Path, names: tuple[str, ...]) -> list[Path]:
    return [root / name.lstrip("/") for name in names]


def _files(folder: Path, suffix: str = "") -> list[Path]:
    try:
        return sorted(f for f in folder.iterdir() if f.is_file() and f.name.endswith(suffix) and ".off" not in f.name)
    except OSError:
        return []


def _script(file: Path) -> str:
    try:
        if not file.is_file() or file.stat().st_size > _SCRIPT_BYTES:
            return ""
        start = file.read_bytes()
    except OSError:
        return ""
    return start.decode(errors="replace") if start.startswith(b"#!") else ""
