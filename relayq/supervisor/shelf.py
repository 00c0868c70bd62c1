"""Outcomes on disk: of ended attempts that nobody has taken delivery of yet, one synced file each.

A file holds the same frame that would have gone over the socket. Trouble with the disk is never raised:
`put` says False and the caller keeps its memory.
"""

import contextlib
import os
from collections.abc import Callable, Iterator

from relayq.supervisor import wire

BUDGET_BYTES = 256 << 20  #: of output, all outcomes together; the oldest output goes first
_SUFFIX = ".outcome"


class Shelf:
    """The folder of outcomes."""

    def __init__(self, folder: str, log: Callable[[str], None], budget_bytes: int = BUDGET_BYTES) -> None:
        self._folder = folder
        self._log = log
        self._budget = budget_bytes
        self._bodies: dict[str, int] = {}  # key -> output bytes on disk, oldest first

    def put(self, key: str, header: wire.Header, body: bytes | bytearray) -> bool:
        """Keeps an outcome until `forget`; synced when this returns True."""
        try:
            self._write(key, header, body)
        except OSError as error:
            self._log(f"outcomes cannot be written to {self._folder}, they stay in memory: {error.strerror}")
            return False
        self._bodies[key] = len(body)
        self._keep_to_budget(key)
        return True

    def get(self, key: str) -> tuple[wire.Header, bytes] | None:
        """An outcome that was put here, or None if it cannot be read (any more)."""
        return self._read(self._path(key))

    def forget(self, key: str) -> None:
        """Removes an outcome."""
        self._bodies.pop(key, None)
        with contextlib.suppress(OSError):
            os.unlink(self._path(key))

    def load(self, folder: str | None = None) -> Iterator[wire.Header]:
        """The headers of all outcomes in this folder, oldest first; those of another folder are moved here."""
        source = folder or self._folder
        try:
            with os.scandir(source) as entries:
                files = sorted((entry.stat().st_mtime, entry.name) for entry in entries)
        except OSError:
            return
        for _, name in files:
            path = os.path.join(source, name)
            found = self._read(path) if name.endswith(_SUFFIX) else None
            if found is None:  # half written when the supervisor was killed
                with contextlib.suppress(OSError):
                    os.unlink(path)
                continue
            header, body = found
            key = str(header["key"])
            if source != self._folder:
                if not self.put(key, header, body):
                    continue
                with contextlib.suppress(OSError):
                    os.unlink(path)
            self._bodies[key] = len(body)
            yield header

    def _keep_to_budget(self, newest: str) -> None:
        surplus = sum(self._bodies.values()) - self._budget
        for key in list(self._bodies):
            if surplus <= 0:
                return
            if not self._bodies[key] or key == newest:
                continue
            found = self.get(key)
            if found is None:
                continue
            header, body = found
            header["dropped_bytes"] = header.get("dropped_bytes", 0) + len(body)
            header["chunks"] = []
            try:
                self._write(key, header, b"")
            except OSError:
                return
            self._bodies[key] = 0
            surplus -= len(body)

    def _write(self, key: str, header: wire.Header, body: bytes | bytearray) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(self._folder, 0o700)  # and nothing above it: a removed home must not come back
        path = self._path(key)
        fd = os.open(path + "~", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            try:
                view = memoryview(wire.frame(header, body))
                while view:
                    view = view[os.write(fd, view) :]
                os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(path + "~", path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(path + "~")
            raise
        folder = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _read(self, path: str) -> tuple[wire.Header, bytes] | None:
        try:
            with open(path, "rb") as file:
                data = file.read()
            reader = wire.Reader()
            reader.feed(data)
            found = reader.frame()
        except (OSError, wire.BadFrame):
            return None
        return found if found is not None and "key" in found[0] else None

    def _path(self, key: str) -> str:
        return os.path.join(self._folder, key.replace("/", ",") + _SUFFIX)
