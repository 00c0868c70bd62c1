"""Who this machine is: a random id in RELAYQ_HOME, and one running worker for each name."""

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


class NameLock:
    """Held while a worker of that name runs here; released by the system however the process ends."""

    def __init__(self, home: Path, name: str) -> None:
        folder = home / "workers"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise NameTaken(
                f"a worker called {name} runs on this machine already. Stop it first, or give this one --name"
            ) from None

    def release(self) -> None:
        """Let another start."""
        os.close(self._file)
