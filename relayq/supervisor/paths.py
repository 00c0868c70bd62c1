"""Where a supervisor of a RELAYQ_HOME keeps its socket and files."""

import os
import stat
import sys
from collections.abc import Iterator

_MAX_SOCKET_PATH_BYTES = 103 if sys.platform == "darwin" else 107


class Paths:
    """The files of one version's supervisor. All lie in HOME/supervisor/VERSION, which is its own."""

    __slots__ = ("folder", "lock", "log", "outcomes", "root", "table", "version")

    def __init__(self, home: str, version: str) -> None:
        self.version = version
        self.root = os.path.join(os.path.abspath(home), "supervisor")
        self.folder = os.path.join(self.root, version)
        self.lock = os.path.join(self.folder, "lock")  #: held (flock) while the supervisor lives
        self.table = os.path.join(self.folder, "running.json")
        self.outcomes = os.path.join(self.folder, "outcomes")
        self.log = os.path.join(self.root, "supervisor.log")

    def sockets(self) -> Iterator[str]:
        """Where the socket may be, best first.

        A Unix socket's path is limited to about a hundred bytes, and some file systems cannot hold
        sockets at all. The second place does not depend on TMPDIR: all processes must agree on it.
        """
        near = os.path.join(self.folder, "socket")
        if len(os.fsencode(near)) <= _MAX_SOCKET_PATH_BYTES:
            yield near
        import hashlib  # seldom needed, and heavy

        name = hashlib.sha256(os.fsencode(os.path.realpath(self.folder))).hexdigest()[:20]
        yield f"/tmp/relayq-{os.geteuid()}/{name}"  # noqa: S108 - owner and mode are checked before use


def home_id(home: str) -> str:
    """Names this home on this machine, under whatever path; it must have its supervisor folder."""
    found = os.stat(os.path.join(os.path.abspath(home), "supervisor"))
    return f"{found.st_dev:x}-{found.st_ino:x}"


def versions(home: str) -> list[str]:
    """The versions that ever had a supervisor in this home."""
    root = os.path.join(os.path.abspath(home), "supervisor")
    try:
        with os.scandir(root) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []


def make_private(folder: str) -> None:
    """Makes a folder that only its owner can enter. Raises PermissionError if it is somebody else's."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    check_private(folder, repair=True)


def check_private(folder: str, *, repair: bool = False) -> None:
    """Raises PermissionError unless this folder is ours alone: others could put their socket there."""
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to somebody else; remove it")
    if repair and found.st_mode & 0o077:
        os.chmod(folder, 0o700)
    elif found.st_mode & 0o022:
        raise PermissionError(f"{folder} can be written by others; run: chmod 700 {folder}")
