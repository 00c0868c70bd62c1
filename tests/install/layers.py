"""The layers of a node's root folder, and what was changed in the uppermost."""

from __future__ import annotations

import contextlib
import filecmp
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from .commands import call

Stamp = tuple[int, int, int]

#: What a system writes by being there: its journal and what it remembers from one boot to the next.
_NOISE = (
    "/var/log/journal/", "/var/log/wtmp", "/var/log/btmp", "/var/log/lastlog", "/var/lib/systemd/random-seed",
    "/var/lib/systemd/timers/", "/var/tmp/systemd-private-",
)  # fmt: skip


class Layers:
    """An overlay: `root` is what the node sees, `upper` what it wrote. Mounted until `close`."""

    def __init__(self, folder: Path, lowers: Sequence[Path]) -> None:
        """`lowers` are below, the uppermost first."""
        self._lowers = lowers
        self.root, self.upper, work = (folder / name for name in ("root", "upper", "work"))
        for each in (self.root, self.upper, work):
            each.mkdir(parents=True)
        self.upper.chmod(0o755)
        self._known: dict[str, Stamp] = {}
        lower = ":".join(map(str, lowers))
        options = f"lowerdir={lower},upperdir={self.upper},workdir={work}"
        call("mount", "-t", "overlay", "overlay", "-o", options, self.root)

    def settle(self) -> None:
        """What is there now is not a change."""
        self._known = self._written()

    def changes(self) -> set[str]:
        """Paths that were made, changed or removed since `settle`; a folder that was made ends in a slash.

        A file that has the contents, owner and mode of the layers below is not a change, whoever wrote it.
        """
        now = self._written()
        return {path for path in now.keys() | self._known if now.get(path) != self._known.get(path)}

    def close(self) -> None:
        """Only the layers remain."""
        call("umount", self.root)

    def _written(self) -> dict[str, Stamp]:
        found: dict[str, Stamp] = {}
        for folder, folders, files in os.walk(self.upper):
            for name in [*files, *folders]:
                file = Path(folder, name)
                path = "/" + str(file.relative_to(self.upper))
                state = file.lstat()
                below = self._below(path)
                if stat.S_ISDIR(state.st_mode):
                    if below is None or not below.is_dir():
                        found[f"{path}/"] = (state.st_ino, 0, 0)
                elif below is None or not _same(file, below):
                    found[path] = (state.st_ino, state.st_size, state.st_mtime_ns)
        return {path: stamp for path, stamp in found.items() if not path.startswith(_NOISE)}

    def _below(self, path: str) -> Path | None:
        for layer in self._lowers:
            with contextlib.suppress(OSError):
                file = layer / path.lstrip("/")
                file.lstat()
                return file
        return None


def _same(one: Path, other: Path) -> bool:
    a, b = one.lstat(), other.lstat()
    if (a.st_mode, a.st_uid, a.st_gid) != (b.st_mode, b.st_uid, b.st_gid):
        return False
    if stat.S_ISLNK(a.st_mode):
        return one.readlink() == other.readlink()
    return stat.S_ISREG(a.st_mode) and filecmp.cmp(one, other, shallow=False)
