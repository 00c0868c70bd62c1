"""An attempt's folder: made if its plan has files, removed with it."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import TracebackType

from relayq.kinds import Plan
from relayq.model import Held


class Unprepared(Exception):
    """This machine cannot prepare the attempt; another may."""


class Workspace:
    """Used with `with`; `argv` are the plan's arguments with the folder's path filled in."""

    def __init__(self, home: Path, held: Held, plan: Plan) -> None:
        self._folder = folder_of(home, held)
        self._plan = plan
        self.argv = [word.replace("{workspace}", str(self._folder)) if plan.files else word for word in plan.argv]

    def __enter__(self) -> Workspace:
        try:
            self._write()
        except OSError as error:
            remove(self._folder)
            raise Unprepared(f"{error.strerror or error}: {self._folder}") from error
        return self

    def _write(self) -> None:
        if self._plan.files:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, text in self._plan.files.items():
            file = self._folder / name
            file.write_text(text, "utf-8")
            file.chmod(0o700)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Left in place when the worker lets go of a job that runs on: the next worker removes it.
        if self._plan.files and kind is None:
            remove(self._folder)


def folder_of(home: Path, held: Held) -> Path:
    """Where an attempt's files are."""
    return home / "work" / f"{held.job}-{held.number}"


def remove(folder: Path) -> None:
    """Best effort: what cannot be removed is tried again at the next start."""
    shutil.rmtree(folder, ignore_errors=True)
