"""What setup has done to a machine, in the order in which it did it: the way back, and how to tell an edited file."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relayq.errors import SetupError

VERSION = 1


@dataclass
class Receipt:
    """`receipt.json` in a RELAYQ_HOME. Saved after every change, so that a broken installation can be undone too."""

    path: Path
    role: str = ""  #: "broker" or "worker"
    files: dict[str, str] = field(default_factory=dict)  #: path → SHA-256 of what we wrote ("" for a link)
    folders: list[str] = field(default_factory=list)  #: that were not there before
    units: list[str] = field(default_factory=list)  #: services: "systemd-user relayq-worker.service", …
    users: list[str] = field(default_factory=list)  #: of the system, that we made
    packages: list[str] = field(default_factory=list)  #: of the system, that were not installed before
    facts: dict[str, Any] = field(default_factory=dict)  #: what later runs want to know: wheel, server, address …

    @classmethod
    def load(cls, path: Path, role: str = "") -> Receipt:
        """The receipt of an earlier run, or an empty one. Raises SetupError if it cannot be understood."""
        try:
            found = json.loads(path.read_text("utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return cls(path, role)
        except (OSError, ValueError) as error:
            raise SetupError(f"the receipt {path} cannot be read ({error}): mend it or move it away") from None
        found.pop("version", None)
        known = {key: value for key, value in found.items() if key in cls.__dataclass_fields__}
        return cls(path, **{**known, "role": known.get("role") or role})

    def note_file(self, path: Path, text: str | None) -> None:
        """We wrote it; None: it is a link."""
        self.files[str(path)] = "" if text is None else sha256_of(text)
        self.save()

    def note_folder(self, path: Path) -> None:
        """We made it."""
        self._append(self.folders, str(path))

    def note_unit(self, name: str) -> None:
        """We installed this service."""
        self._append(self.units, name)

    def note_user(self, name: str) -> None:
        """We made this user."""
        self._append(self.users, name)

    def note_package(self, name: str) -> None:
        """We installed this package of the system, which was not there before."""
        self._append(self.packages, name)

    def note_fact(self, key: str, value: Any) -> None:
        """Something that later runs want to know."""
        if self.facts.get(key) != value:
            self.facts[key] = value
            self.save()

    def knows(self, path: Path) -> bool:
        """Whether we wrote it."""
        return str(path) in self.files

    def wrote(self, path: Path, text: str) -> bool:
        """Whether this is what we wrote there last."""
        return self.files.get(str(path)) == sha256_of(text)

    def forget(self, path: Path) -> None:
        """It is gone, with all that was in it."""
        inside = f"{path}/"
        self.files = {
            name: sha for name, sha in self.files.items() if name != str(path) and not name.startswith(inside)
        }
        self.folders = [name for name in self.folders if name != str(path) and not name.startswith(inside)]
        self.save()

    def save(self) -> None:
        """Write it, whole or not at all. The folder must be there."""
        if not self.path.parent.is_dir():
            return  # nothing to keep it in yet, or any more
        text = json.dumps({"version": VERSION, **{k: v for k, v in vars(self).items() if k != "path"}}, indent=1)
        new = self.path.with_name(f".{self.path.name}.new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text + "\n")
        new.replace(self.path)

    def _append(self, names: list[str], name: str) -> None:
        if name not in names:
            names.append(name)
            self.save()


def sha256_of(text: str) -> str:
    """Of a file's text."""
    return hashlib.sha256(text.encode()).hexdigest()
