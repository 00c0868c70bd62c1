"""Who this machine is: a random id in RELAYQ_HOME, and one running worker for it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from relayq.errors import NameTaken, RelayqError


def identity(home: Path) -> str:
    """The id of this RELAYQ_HOME, made on first use."""
    file = home / "identity"
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
                new.write(os.urandom(16).hex())
        except FileExistsError:
            pass
        return file.read_text().strip()
    except OSError as error:
        raise RelayqError(f"cannot use {home} ({error.strerror}). Make it writable, or set RELAYQ_HOME") from error


class HomeLock:
    """Held while a worker of this RELAYQ_HOME runs; released by the system however the process ends.

    A second one would take the first one's jobs for its own: what runs in a home is adopted by whoever starts there.
    """

    def __init__(self, home: Path, name: str) -> None:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = os.open(home / "worker.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, 200, 0).decode(errors="replace").strip() or "another worker"
            os.close(self._file)
            raise NameTaken(
                f"{holder} works for {home} already, and one is enough: it takes more --slots. Stop it first, or give "
                "this one a RELAYQ_HOME of its own"
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{name} (process {os.getpid()})\n".encode(), 0)

    def release(self) -> None:
        """Let another start."""
        os.close(self._file)
