"""What starts by itself on this machine: systemd's units and timers, cron, launchd's agents, monit."""

from __future__ import annotations

import plistlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from relayq.doctor.context import Context

_CRON_FOLDERS = ("/etc/cron.d", "/etc/cron.hourly", "/etc/cron.daily", "/etc/cron.weekly", "/var/spool/cron/crontabs")
_UNIT_FOLDERS = ("/etc/systemd/system", "/usr/local/lib/systemd/system")
_AGENT_FOLDERS = ("/Library/LaunchAgents", "/Library/LaunchDaemons")
_MONIT_FOLDERS = ("/etc/monit/conf.d", "/etc/monit/conf-enabled", "/etc/monit.d")


@dataclass(frozen=True)
class SelfStarter:
    """Something that runs by itself, and what it runs."""

    name: str
    file: Path
    text: str
    end: str  #: the command that ends it


def self_starters(context: Context) -> Iterator[SelfStarter]:
    """All that can be read by whoever asks. Units that are disabled and do not run are left out."""
    home = Path.home() if context.root == Path("/") else context.path("home")
    for units in map(context.path, _UNIT_FOLDERS):
        yield from _units(context, units, "sudo systemctl")
    yield from _units(context, home / ".config/systemd/user", "systemctl --user")
    for agents in (home / "Library/LaunchAgents", *map(context.path, _AGENT_FOLDERS)):
        yield from _agents(agents)
    for file in (f for name in _CRON_FOLDERS for f in _files(context.path(name))):
        if "cron." in file.parent.name and file.parent.name != "cron.d":
            yield SelfStarter(file.name, file, _text(file), f"sudo chmod -x {file}")  # a script, all of it
        else:
            yield from _crontab(file.name, file, _text(file), f"sudo mv {file} {file}.off")
    table = context.path("/etc/crontab")
    yield from _crontab("crontab", table, _text(table), "sudo nano /etc/crontab")
    yield from _crontab("your crontab", Path("crontab"), context.ask("crontab", "-l") or "", "crontab -e")
    for file in (f for name in _MONIT_FOLDERS for f in _files(context.path(name))):
        yield SelfStarter(f"monit ({file.name})", file, f"{_text(file)} restart", f"sudo mv {file} {file}.off")


def _units(context: Context, folder: Path, systemctl: str) -> Iterator[SelfStarter]:
    for file in _files(folder, ".service"):
        runs = "\n".join(re.findall(r"^Exec(?:Start|StartPre|StartPost)=(.+)$", _text(file), re.MULTILINE))
        timer = file.with_suffix(".timer")
        unit = timer.name if timer.exists() else file.name
        if runs and not _at_rest(context, systemctl, unit):
            yield SelfStarter(unit, file, f"{file.stem}\n{runs}", f"{systemctl} disable --now {unit}")


def _at_rest(context: Context, systemctl: str, unit: str) -> bool:
    command = systemctl.removeprefix("sudo ").split()
    enabled, active = context.ask(*command, "is-enabled", unit), context.ask(*command, "is-active", unit)
    return enabled in {"disabled", "masked"} and active in {"inactive", "failed"}


def _agents(folder: Path) -> Iterator[SelfStarter]:
    for file in _files(folder, ".plist"):
        try:
            said = plistlib.loads(file.read_bytes())
        except (OSError, plistlib.InvalidFileException, ValueError):
            continue
        words = [said.get("Program", ""), *said.get("ProgramArguments", ())] if isinstance(said, dict) else []
        domain = "system" if "LaunchDaemons" in folder.name else "gui/$(id -u)"
        sudo = "sudo " if domain == "system" else ""
        yield SelfStarter(
            file.name, file, " ".join([file.stem, *map(str, words)]), f"{sudo}launchctl bootout {domain} {file}"
        )


def _crontab(name: str, file: Path, text: str, end: str) -> Iterator[SelfStarter]:
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield SelfStarter(f'{name} ("{_shortened(line)}")', file, line, end)


def _shortened(line: str) -> str:
    words = " ".join(line.split())
    return words if len(words) <= 60 else f"{words[:59]}…"


def _files(folder: Path, suffix: str = "") -> list[Path]:
    try:
        return sorted(f for f in folder.iterdir() if f.is_file() and f.name.endswith(suffix) and ".off" not in f.name)
    except OSError:
        return []


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", errors="replace")
    except OSError:
        return ""
