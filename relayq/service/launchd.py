"""Services by launchd: an agent of a user, or a daemon of the system, which needs no login.

Others learned the hard way what launchd does: a job that is loaded cannot be loaded again (5), a session by SSH may
have no `gui` domain (125), what `bootout` ends is not gone when it returns, and no exit code proves that a job is
loaded: `launchctl print` does.
"""

from __future__ import annotations

import os
import plistlib
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.parsers.expat import ExpatError

from relayq.effects import Effects, run_command
from relayq.errors import SetupError
from relayq.service.launchd_plist import label, log_of, render
from relayq.service.launchd_status import status_of
from relayq.service.model import (
    Name,
    Status,
    Unit,
    forget_unit,
    home_of,
    make_folders,
    not_installed,
    refuse_root,
    restart_due,
)

PATIENCE = 20.0  #: seconds for a job to be gone (it has 15 to end), or for a loaded one to have a process
DAEMONS = Path("/Library/LaunchDaemons")
_LOOK_EVERY = 0.1
_BUSY = (5, 37)  #: "Input/output error", "Operation already in progress": the old job is not quite gone
#: "Could not find specified domain", "Domain does not support specified action": nobody is logged in at the screen.
_NO_DOMAIN = (112, 125)


class Launchd:
    """The jobs of a user, or of the system (`system`), which only root commands."""

    def __init__(self, *, system: bool = False) -> None:
        self.system = system
        self.kind = "launchd-daemon" if system else "launchd-agent"

    def files(self, unit: Unit) -> dict[Path, str]:
        """What `install` would write."""
        owner_home = home_of(unit.user if self.system else None)
        return {self._path(unit.name): render(unit, system=self.system, owner_home=owner_home)}

    def install(self, unit: Unit, effects: Effects) -> bool:
        """As `Manager`. Where no session takes the agent, it says that it starts at the next login."""
        if not self.system:
            refuse_root("a LaunchAgent")
        files = self.files(unit)
        changed = self._replace_other(unit.name, effects)
        log_folder = log_of(unit.name, home_of(unit.user if self.system else None)).parent
        make_folders(log_folder, effects, owner=unit.user if self.system else None)
        written = False
        for path, text in files.items():
            make_folders(path.parent, effects)
            changed |= self._keep_foreign(path, text, effects)
            written |= effects.file(path, text)
        if not effects.dry_run:
            effects.receipt.note_unit(f"{self.kind} {label(unit.name)}")
        changed |= written
        if not written and not restart_due(unit, effects) and self._domain(unit.name):
            return changed
        loaded = self._load(unit.name, effects)
        return changed or loaded

    def status(self, name: Name) -> Status:
        """How it stands. Never raises."""
        there = self._path(name).exists()
        domain = self._domain(name)
        if domain is None:
            when = "boot" if self.system else "login"
            return Status(
                installed=there,
                enabled=there,
                detail=f"launchd has not loaded it; it starts at the next {when}" if there else "not installed",
            )
        status = status_of(self._printed(domain, name), enabled=there)
        return replace(status, since=_started_at(status.pid)) if status.pid else status

    def restart(self, name: Name, effects: Effects) -> None:
        """A new process; the jobs of the old one go on."""
        domain = self._domain(name)
        if domain is None:
            if not self._path(name).exists():
                raise not_installed(name)
            self._load(name, effects)
            return
        before = self.status(name).pid
        target = f"{domain}/{label(name)}"
        if before is not None:
            # Not `kickstart -k`: a worker that is killed hands nothing over.
            self._tell(effects, "kill", "SIGTERM", target, check=False)
            if not effects.dry_run:
                _wait_until(lambda: self.status(name).pid != before)
        self._tell(effects, "kickstart", target)  # now, instead of when launchd's patience is over

    def stop(self, name: Name, effects: Effects) -> None:
        """No process until the next login, or boot."""
        if self._domain(name) is None and not self._path(name).exists():
            raise not_installed(name)
        self._unload(name, effects)

    def uninstall(self, name: Name, effects: Effects, when_stopped: Callable[[], None] | None = None) -> None:
        """Stopped, its file and its logs gone. A file that is not ours stays, as NAME.old."""
        path, log = self._path(name), self._log(name)
        self._unload(name, effects)
        if when_stopped is not None and not effects.dry_run:
            when_stopped()
        if not self._keep_foreign(path, "", effects):
            effects.remove(path)
            for file in sorted(log.parent.glob(f"{log.name}*")):
                effects.remove(file)
            if log.parent.is_dir() and not any(log.parent.iterdir()):
                effects.remove(log.parent)
        forget_unit(f"{self.kind} {label(name)}", effects)

    def log_command(self, name: Name, lines: int, follow: bool) -> list[str]:
        """What prints its log."""
        return ["tail", "-n", str(lines), *(["-F"] if follow else []), str(self._log(name))]

    # ── underneath ──

    def _path(self, name: Name) -> Path:
        return (DAEMONS if self.system else Path.home() / "Library/LaunchAgents") / f"{label(name)}.plist"

    def _log(self, name: Name) -> Path:
        """As its file has it: a daemon may be another user's."""
        try:
            return Path(plistlib.loads(self._path(name).read_bytes())["StandardErrorPath"])
        except (OSError, ValueError, KeyError, TypeError, ExpatError):
            return log_of(name, Path.home())

    def _domains(self) -> list[str]:
        return ["system"] if self.system else [f"gui/{os.geteuid()}", f"user/{os.geteuid()}"]

    def _domain(self, name: Name) -> str | None:
        """Where it is loaded."""
        return next((domain for domain in self._domains() if self._printed(domain, name)), None)

    def _printed(self, domain: str, name: Name) -> str:
        done = run_command(["launchctl", "print", f"{domain}/{label(name)}"], check=False, timeout=20)
        return done.stdout if done.returncode == 0 else ""

    def _tell(
        self, effects: Effects, *words: str, check: bool = True, quiet: bool = False
    ) -> subprocess.CompletedProcess[str]:
        return effects.run(["launchctl", *words], root=self.system, check=check, quiet=quiet, timeout=60)

    def _load(self, name: Name, effects: Effects) -> bool:
        """Whether it is loaded now."""
        self._unload(name, effects)
        said = ""
        for domain in self._domains():
            self._permit(domain, name, effects)
            done = self._bootstrap(domain, name, effects)
            if effects.dry_run or self._printed(domain, name):
                return True
            said = said or done.stderr.strip() or f"exit code {done.returncode}"
            if done.returncode not in _NO_DOMAIN:
                break
        when = "boot" if self.system else "login. On a Mac where nobody logs in: relayq service install --system"
        effects.say(
            f"launchd does not take {label(name)} now ({said}). Its file is written, so it starts at the next {when}"
        )
        return False

    def _bootstrap(self, domain: str, name: Name, effects: Effects) -> subprocess.CompletedProcess[str]:
        deadline, again = time.monotonic() + PATIENCE, False
        while True:
            done = self._tell(effects, "bootstrap", domain, str(self._path(name)), check=False, quiet=again)
            if done.returncode not in _BUSY or self._printed(domain, name) or time.monotonic() >= deadline:
                return done
            again = True
            time.sleep(_LOOK_EVERY)

    def _permit(self, domain: str, name: Name, effects: Effects) -> None:
        """`launchctl unload -w`, once usual, forbids a job for ever; loading it then fails with 5."""
        listed = run_command(["launchctl", "print-disabled", domain], check=False, timeout=20).stdout
        for line in listed.splitlines():
            named, _, state = line.partition("=>")
            if named.strip().strip('"') == label(name) and state.strip() in ("disabled", "true"):
                self._tell(effects, "enable", f"{domain}/{label(name)}", check=False)

    def _unload(self, name: Name, effects: Effects) -> None:
        for domain in self._domains():
            if self._printed(domain, name):
                self._tell(effects, "bootout", f"{domain}/{label(name)}", check=False)
        if not effects.dry_run and not _wait_until(lambda: self._domain(name) is None):
            raise SetupError(
                f"launchd does not let go of {label(name)}. See what it says: launchctl print {self._domain(name)}/"
                f"{label(name)}; or restart this Mac and run this again"
            )

    def _keep_foreign(self, path: Path, text: str, effects: Effects) -> bool:
        """1.x had a job of the same name: its file stays beside ours, for whoever goes back."""
        if not path.exists() or effects.receipt.knows(path) or path.read_bytes() == text.encode():
            return False
        old = path.with_name(f"{path.name}.old")
        effects.run(["mv", "-f", str(path), str(old)], why=f"keep the {path.name} that was here", root=self.system)
        if not effects.dry_run:
            effects.receipt.note_fact("kept", {**effects.receipt.facts.get("kept", {}), str(path): str(old)})
        return True

    def _replace_other(self, name: Name, effects: Effects) -> bool:
        """Of an agent and a daemon, one is enough: they would take the name from each other."""
        other = Launchd(system=not self.system)
        if not other._path(name).exists():
            return False
        effects.say(f"{label(name)} is there as {'a daemon' if other.system else 'an agent'}:")
        other.uninstall(name, effects)
        return True


def _wait_until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK_EVERY)
    return True


def _started_at(pid: int) -> float | None:
    import psutil

    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None
