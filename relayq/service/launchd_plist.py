"""The property list of a launchd job. Pure."""

from __future__ import annotations

import plistlib
from pathlib import Path
from typing import Any

from relayq.service.model import LOW, Name, Unit, environment


def label(name: Name) -> str:
    """The worker's is that of 1.x, which it replaces."""
    return f"com.user.relayq.{name}"


def log_of(name: Name, owner_home: Path) -> Path:
    """Where macOS users look for it."""
    return owner_home / "Library/Logs/relayq" / f"{name}.log"


def render(unit: Unit, *, system: bool, owner_home: Path) -> str:
    """Its text, as `plutil` would write it. Raises SetupError if there is a secret in it."""
    return plistlib.dumps(plist(unit, system=system, owner_home=owner_home), sort_keys=False).decode()


def plist(unit: Unit, *, system: bool, owner_home: Path) -> dict[str, Any]:
    """What launchd is to know. See launchd.plist(5)."""
    log = str(log_of(unit.name, owner_home))
    job: dict[str, Any] = {
        "Label": label(unit.name),
        "ProgramArguments": list(unit.argv),
        "EnvironmentVariables": _variables(unit, system, owner_home),
        "WorkingDirectory": str(owner_home),
        "RunAtLoad": True,
        "KeepAlive": True,
        "ThrottleInterval": 10,  # seconds between two starts: all the back-off launchd has
        "ExitTimeOut": 15,
        "StandardOutPath": log,
        "StandardErrorPath": log,
    }
    if unit.name == "worker":
        # Jobs go on when the worker is stopped or killed, for the next one to adopt.
        job["AbandonProcessGroup"] = True
    else:  # a worker's umask would be its jobs', whose files are for whoever they are for
        job["Umask"] = 0o077
    if not system:
        # The first is there after a login at the screen, the second also after one by SSH.
        job["LimitLoadToSessionType"] = ["Aqua", "Background"]
    elif unit.user is not None:
        job["UserName"] = unit.user
    # Without it launchd holds a job's processor and disk back, which a transcoder should not be.
    job["ProcessType"] = "Standard" if (unit.nice or 0) > 0 else "Interactive"
    if unit.nice is not None:
        job["Nice"] = unit.nice
        if unit.nice >= LOW:
            job["LowPriorityIO"] = True
    return job


def _variables(unit: Unit, system: bool, owner_home: Path) -> dict[str, str]:
    env = environment(unit, owner_home)
    if system:
        # A daemon's environment is nearly empty, whoever it runs as.
        who = {"HOME": str(owner_home)}
        if unit.user is not None:
            who |= {"USER": unit.user, "LOGNAME": unit.user}
        env = {**who, **env}
    if unit.name == "worker" and unit.log_file is None:
        # The very file of its standard error: the worker bounds it, which launchd does not.
        env.setdefault("RELAYQ_LOG_FILE", str(log_of(unit.name, owner_home)))
    return env
