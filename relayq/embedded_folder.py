"""RELAYQ_HOME/broker: what each file in it is for, written whole, for its owner only, by one process at a time.

broker.conf   what the server is told; its port and password are remembered here
data/         what it keeps
broker.log    what it says
state.json    which process it is; gone when stopped
url           its URL with the password, for `relayq.config`; there while it serves
written-by    the program whose files data/ holds
lock          held by whoever starts or stops it
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from relayq.config import broker_url_file
from relayq.embedded_server import Server
from relayq.embedded_tuning import memory_limit, tuning
from relayq.errors import BrokerUnavailable, ConfigError, RelayqError

LOCK_PATIENCE = 30.0  #: seconds to wait for another start or stop
LOG_LIMIT_BYTES = 1 << 20
LOG_KEPT_BYTES = 1 << 16
_LOOK_EVERY = 0.01  #: seconds


@dataclass(frozen=True)
class Folder:
    """The paths, by what they hold."""

    root: Path
    conf: Path
    data: Path
    log: Path
    state: Path
    url: Path
    writer: Path
    lock: Path


def folder_of(home: Path) -> Folder:
    """The broker's folder in this RELAYQ_HOME, whether it exists or not."""
    url = broker_url_file(home.absolute())
    names = ("broker.conf", "data", "broker.log", "state.json", "url", "written-by", "lock")
    return Folder(url.parent, *(url.with_name(name) for name in names))


def make(folder: Folder) -> None:
    """Create what is missing and close it to others."""
    for path in (folder.root, folder.data):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)


@contextmanager
def locked(folder: Folder) -> Iterator[None]:
    """Alone with the folder; what the system says of a file is said in a sentence."""
    try:
        with os.fdopen(os.open(folder.lock, os.O_RDWR | os.O_CREAT, 0o600)) as lock:
            deadline = time.monotonic() + LOCK_PATIENCE
            while not _got(lock.fileno()):
                if time.monotonic() >= deadline:
                    raise BrokerUnavailable(
                        f"another relayq has been starting or stopping the broker of {folder.root.parent} for "
                        f"{LOCK_PATIENCE:.0f} s. Wait for it, or see who holds it with: fuser {folder.lock}"
                    )
                time.sleep(_LOOK_EVERY)
            yield
    except RelayqError:  # BrokerUnavailable is an OSError too, and a sentence already
        raise
    except OSError as error:
        raise unusable(folder, error) from error


def unusable(folder: Folder, error: OSError) -> ConfigError:
    """The sentence for a folder that the system does not let us use."""
    what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return ConfigError(
        f"cannot keep a broker in {folder.root} ({what}). Make it a folder you can write, or set RELAYQ_HOME to one"
    )


def _got(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write(file: Path, text: str) -> None:
    """The file's text: whole or not at all, for the owner only."""
    new = file.with_name(f".{file.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as stream:
        stream.write(text)
    new.replace(file)


def read(file: Path) -> str:
    """The file's text; empty if there is none."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return file.read_text(encoding="utf-8", errors="surrogateescape")
    return ""


def tail(log: Path, start: int = 0, lines: int = 8) -> str:
    """The last lines of what was logged after the byte `start`."""
    with suppress(FileNotFoundError), log.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(start, size - LOG_KEPT_BYTES))
        return "\n".join(stream.read().decode(errors="replace").splitlines()[-lines:])
    return ""


def shorten(log: Path) -> None:
    """Keep the end of a log that has become long."""
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        write(log, tail(log, lines=LOG_KEPT_BYTES) + "\n")


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What a server of ours is told."""

    port: int
    server: Server
    password: str  #: 32 random bytes, in letters that need no quoting in a URL

    def text(self) -> str:
        """The configuration file."""
        return f"""\
# for {self.server.name} {self.server.version} {self.server.path}
# Written by relayq at every start; of changes made here only those of port and requirepass stay.
bind 127.0.0.1
port {self.port}
requirepass {self.password}
{tuning(self.server.number, memory_limit())}"""


def remembered(conf: Path) -> tuple[int | None, str | None, Server | None]:
    """(port, password, server) of a configuration file, as far as it names them."""
    found = dict(re.findall(r"^(port|requirepass|# for) (.+)$", read(conf), re.MULTILINE))
    port = found.get("port", "").strip()
    name, _, rest = found.get("# for", "").partition(" ")
    version, _, path = rest.partition(" ")
    server = Server(path=Path(path), name=name, version=version) if path else None
    return int(port) if port.isdecimal() else None, found.get("requirepass", "").strip() or None, server


def new_password() -> str:
    """One that nobody guesses."""
    return secrets.token_urlsafe(32)
