"""Services by systemd: of a user, whose manager runs at boot because the user lingers, or of the system."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from relayq.effects import Effects, run_command
from relayq.errors import SetupError
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
from relayq.service.systemd_status import ENVIRONMENT, PROPERTIES, status_of
from relayq.service.systemd_text import render

PATIENCE = 15.0  #: seconds until the manager of a user who lingers must answer
SYSTEM_UNITS = Path("/etc/systemd/system")
_LOOK_EVERY = 0.1
_LINGER = "linger"  #: a fact in the receipt: the user for whom we switched it on


def runs_here() -> bool:
    """Whether systemd runs this machine; its commands alone (in a container) start nothing."""
    said = run_command(["systemctl", "is-system-running"], check=False).stdout.strip()
    return said not in ("", "offline", "unknown")


class Systemd:
    """The manager of a user, or that of the system (`system`), which only root commands."""

    def __init__(self, *, system: bool = False) -> None:
        self.system = system
        self.kind = "systemd-system" if system else "systemd-user"

    def files(self, unit: Unit) -> dict[Path, str]:
        """What `install` would write."""
        owner_home = home_of(unit.user if self.system else None)
        return {self._path(unit.name): render(unit, system=self.system, version=_version(), owner_home=owner_home)}

    def install(self, unit: Unit, effects: Effects) -> bool:
        """As `Manager`: files, linger, reload, enable, start; each only where it is missing."""
        if not self.system:
            refuse_root("a user's service")
        files = self.files(unit)
        service = _service(unit.name)
        changed = self._replace_other(unit.name, effects)
        if not self.system:
            changed |= self._linger(effects)
            self._await_manager(effects)
        written = False
        for path, text in files.items():
            make_folders(path.parent, effects)
            written |= effects.file(path, text)
        if written:
            self._tell(effects, "daemon-reload")
        before = self._shown(unit.name)
        if not (before.enabled and before.installed):
            self._tell(effects, "enable", service, why="start it at boot")
        if not before.running:
            self._tell(effects, "start", service)
        elif written or restart_due(unit, effects):
            self._tell(effects, "restart", service)
        if not effects.dry_run:
            effects.receipt.note_unit(f"{self.kind} {service}")
        return changed or written or not before.running or not before.enabled or restart_due(unit, effects)

    def status(self, name: Name) -> Status:
        """How it stands. Never raises."""
        shown = self._shown(name)
        if shown.enabled and not self.system and not _lingers():
            return replace(
                shown, enabled=False, detail=f"{shown.detail}; at boot only after: sudo loginctl enable-linger {_me()}"
            )
        return shown

    def restart(self, name: Name, effects: Effects) -> None:
        """A new process; the jobs of the old one go on."""
        self._must_have(name)
        self._tell(effects, "restart", _service(name))

    def stop(self, name: Name, effects: Effects) -> None:
        """No process until the next boot."""
        self._must_have(name)
        self._tell(effects, "stop", _service(name))

    def uninstall(self, name: Name, effects: Effects, when_stopped: Callable[[], None] | None = None) -> None:
        """Stopped, no longer started at boot, its file gone; and no lingering that we brought."""
        self._take_out(name, effects, when_stopped)
        user = effects.receipt.facts.get(_LINGER)
        if user and not any(note.startswith("systemd-user ") for note in effects.receipt.units):
            effects.run(["loginctl", "disable-linger", user], root=True, check=False)
            if not effects.dry_run:
                effects.receipt.note_fact(_LINGER, None)

    def log_command(self, name: Name, lines: int, follow: bool) -> list[str]:
        """What prints its log."""
        # Not `--user`: where the journal is in memory (Raspberry Pi OS), users have none of their own.
        which = "--unit" if self.system else "--user-unit"
        ends = ["--follow"] if follow else ["--no-pager"]
        return ["journalctl", f"{which}={_service(name)}", f"--lines={lines}", *ends]

    # ── underneath ──

    def _path(self, name: Name) -> Path:
        return (SYSTEM_UNITS if self.system else Path.home() / ".config/systemd/user") / _service(name)

    def _argv(self, *words: str) -> list[str]:
        return ["systemctl", *([] if self.system else ["--user"]), *words]

    def _environment(self) -> Mapping[str, str]:
        return {} if self.system else {"XDG_RUNTIME_DIR": _runtime_folder()}

    def _tell(
        self, effects: Effects, *words: str, why: str | None = None, check: bool = True, quiet: bool = False
    ) -> subprocess.CompletedProcess[str]:
        return effects.run(
            self._argv(*words), why=why, root=self.system, check=check, quiet=quiet, env=self._environment(), timeout=60
        )

    def _shown(self, name: Name) -> Status:
        asked = self._argv("show", _service(name), f"--property={','.join(PROPERTIES)}")
        done = run_command(asked, check=False, env={**self._environment(), **ENVIRONMENT}, timeout=20)
        if done.returncode == 0:
            return status_of(done.stdout)
        installed = self._path(name).exists()
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return Status(installed=installed, detail=f"systemd does not answer: {said[0]}")

    def _must_have(self, name: Name) -> None:
        if not self._shown(name).installed:
            raise not_installed(name)

    def _take_out(self, name: Name, effects: Effects, when_stopped: Callable[[], None] | None = None) -> None:
        service, path = _service(name), self._path(name)
        there, known = path.exists(), self._shown(name).installed
        if known:
            done = self._tell(effects, "stop", service, check=False)
            if done.returncode and self._shown(name).running:
                raise SetupError(f"{service} could not be stopped: {done.stderr.strip()}")
        if when_stopped is not None and not effects.dry_run:
            when_stopped()
        if known:
            self._tell(effects, "disable", service, check=False)
        # What systemd did not do, because it does not answer.
        effects.remove(path.parent / f"{'multi-user' if self.system else 'default'}.target.wants" / service)
        effects.remove(path)
        if there:
            self._tell(effects, "daemon-reload", check=False)
            self._tell(effects, "reset-failed", service, check=False, quiet=True)
        forget_unit(f"{self.kind} {service}", effects)

    def _replace_other(self, name: Name, effects: Effects) -> bool:
        """Of the user's and the system's, one is enough: they would take the name from each other.

        A user's lingering stays for now: with it the jobs would end that ours is to adopt.
        """
        other = Systemd(system=not self.system)
        if not other._path(name).exists():
            return False
        effects.say(f"{_service(name)} is there as a service of {'the system' if other.system else 'the user'}:")
        other._take_out(name, effects)
        return True

    def _linger(self, effects: Effects) -> bool:
        """The user's manager starts at boot and stays after the last logout. False if it did already."""
        if _lingers():
            return False
        user = _me()
        done = effects.run(
            ["loginctl", "--no-ask-password", "enable-linger", user], why="start it before any login", check=False
        )
        if done.returncode:
            done = effects.run(["loginctl", "enable-linger", user], root=True, check=False)
        if done.returncode:
            effects.say(
                f"{user} may not linger ({done.stderr.strip() or 'no reason given'}), so the service runs only while "
                f"{user} is logged in. To have it at boot: sudo loginctl enable-linger {user}"
            )
            return False
        if not effects.dry_run:
            effects.receipt.note_fact(_LINGER, user)
        return True

    def _await_manager(self, effects: Effects) -> None:
        deadline = time.monotonic() + PATIENCE
        while not effects.dry_run:
            # "degraded", some other unit has failed, is an answer like "running" (and an exit code of 1). One that is
            # "stopping", because the user no longer lingered a moment ago, comes again.
            asked = run_command(self._argv("is-system-running"), check=False, env=self._environment(), timeout=20)
            if asked.stdout.strip() not in ("", "offline", "unknown", "stopping"):
                return
            if time.monotonic() >= deadline:
                raise SetupError(
                    f"systemd does not run for the user {_me()} here ({asked.stderr.strip() or 'it does not answer'}). "
                    "Have the service for the whole machine: relayq service install --system"
                )
            time.sleep(_LOOK_EVERY)


def _service(name: Name) -> str:
    return f"relayq-{name}.service"


def _version() -> int:
    said = run_command(["systemctl", "--version"], check=False).stdout
    found = re.match(r"systemd (\d+)", said)
    return int(found[1]) if found else 0


def _me() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _lingers() -> bool:
    asked = ["loginctl", "show-user", _me(), "--property=Linger", "--value"]
    return run_command(asked, check=False, timeout=20).stdout.strip() == "yes"


def _runtime_folder() -> str:
    """A piped script, `su` and `sudo -u` have no login session, or another user's."""
    return f"/run/user/{os.geteuid()}"
