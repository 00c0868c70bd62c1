"""What a service is to be, how it stands, and what systemd and launchd can both do for it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from relayq.effects import Effects
from relayq.errors import SetupError
from relayq.supervisor.environment import without_secrets

Name = Literal["worker", "server"]

LOW = 10  #: from this nice value on (`priority: low`) the disk, too, is for others first

#: After the user's own; a service has no login shell that would add Homebrew's.
_PATH = "/opt/homebrew/bin:/opt/homebrew/sbin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin"


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A service that this machine is to have."""

    name: Name
    argv: tuple[str, ...]  #: the program with its whole path
    description: str
    home: Path  #: its RELAYQ_HOME
    env: Mapping[str, str] = field(default_factory=dict)  #: no secrets: everybody may read a unit
    nice: int | None = None
    user: str | None = None  #: whose, for a service of the system; None: root
    log_file: Path | None = None  #: where its settings have it log; None: where the service manager keeps it
    writes: tuple[Path, ...] = ()  #: what a confined service (the server) may write besides its home


@dataclass(frozen=True, kw_only=True)
class Status:
    """How a service stands now."""

    installed: bool
    running: bool = False
    enabled: bool = False  #: it starts by itself: at boot, or at login where that is all there is
    pid: int | None = None
    since: float | None = None  #: when its process was started, seconds since the epoch
    restarts: int = 0  #: how often its manager has started it again
    detail: str = ""  #: a few words for people


class Manager(Protocol):
    """systemd or launchd, for a user or for the system. Raises SetupError throughout."""

    kind: str  #: "systemd-user", "systemd-system", "launchd-agent", "launchd-daemon"

    def files(self, unit: Unit) -> dict[Path, str]:
        """What `install` would write."""
        ...

    def install(self, unit: Unit, effects: Effects) -> bool:
        """Have it, started now and at boot; restarted only if what it reads has changed. False: nothing was to be done.

        It reads its own file and, of what these effects changed before, its program and its config.yml.
        """
        ...

    def status(self, name: Name) -> Status:
        """How it stands. Never raises."""
        ...

    def restart(self, name: Name, effects: Effects) -> None:
        """A new process in place of the old; a worker's jobs go on."""
        ...

    def stop(self, name: Name, effects: Effects) -> None:
        """No process until the next boot (or login, or `restart`). A worker's jobs go on."""
        ...

    def uninstall(self, name: Name, effects: Effects, when_stopped: Callable[[], None] | None = None) -> None:
        """Stopped, and all of its files gone.

        `when_stopped` is the moment to end a worker's jobs and give them back: it takes no new ones any more, and what
        still runs may go down with the user's systemd afterwards. Not called in a dry run.
        """
        ...

    def log_command(self, name: Name, lines: int, follow: bool) -> list[str]:
        """What prints its log."""
        ...


def environment(unit: Unit, owner_home: Path) -> dict[str, str]:
    """The variables of the service. Raises SetupError if there is a secret among them."""
    secret = set(unit.env) - set(without_secrets(dict(unit.env)))
    if secret:
        raise SetupError(
            f"{', '.join(sorted(secret))} must not stand in a service's file, which everybody may read: "
            f"write it into {unit.home / 'config.yml'}"
        )
    env = {"PATH": f"{owner_home / '.local/bin'}:{_PATH}", "RELAYQ_HOME": str(unit.home), **unit.env}
    if unit.nice is not None:
        env.setdefault("RELAYQ_NICE", "0")  # it is nice already: the worker would add worker.nice to that
    return env


def home_of(user: str | None) -> Path:
    """The home folder of whoever the service runs as. Raises SetupError if there is no such user."""
    if user is None:
        return Path.home()
    try:
        return Path(pwd.getpwnam(user).pw_dir)
    except KeyError:
        raise SetupError(f"there is no user {user} on this machine to run the service as") from None


def restart_due(unit: Unit, effects: Effects) -> bool:
    """Whether what these effects changed is read by the service when it starts."""
    program, config = Path(unit.argv[0]), str(unit.home / "config.yml")
    return any(path == config or program.is_relative_to(path) for path in effects.changed)


def make_folders(path: Path, effects: Effects, *, owner: str | None = None) -> None:
    """A folder and what is missing above it, each noted."""
    for folder in [*reversed(path.parents), path]:
        effects.folder(folder, owner=owner)


def forget_unit(note: str, effects: Effects) -> None:
    """The receipt no longer names this service."""
    if note in effects.receipt.units and not effects.dry_run:
        effects.receipt.units.remove(note)
        effects.receipt.save()


def refuse_root(what: str) -> None:
    """A service of root's own is nobody's wish: it comes of a `sudo` too many."""
    if os.geteuid() == 0:
        raise SetupError(
            f"{what} belongs to a user, and this is root. Run it without sudo, or for the whole machine: "
            "relayq service install --system"
        )


def not_installed(name: Name) -> SetupError:
    """What to say when there is nothing to restart or to stop."""
    return SetupError(f"there is no service relayq-{name} on this machine. To have it: relayq service install {name}")
