"""How this machine reaches package archives and the Python package index, for nodes to do the same.

All of it is found when the tests run: the archive from apt's configuration, what apt and pip were told, the
certificates that were added, and local folders that pip was pointed to. A machine without any such setting gives nodes
without any.
"""

from __future__ import annotations

import ast
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from .commands import call

_CERTIFICATES = Path("/usr/local/share/ca-certificates")
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"  #: nodes make their own of it
_APT = ("Acquire::http::", "Acquire::https::", "Acquire::Check-Valid-Until", "Acquire::Check-Date")
#: What says where packages are; all else (where to install them, what to print) is the node's own affair.
_PIP = (
    "index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "proxy", "cert", "constraint", "retries",
    "timeout", "default-timeout",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Archives:
    """Settings of this computer that a node needs as well."""

    debian: str | None  #: the Debian archive; None for debootstrap's own
    apt: str  #: as in apt.conf
    pip: dict[str, str]  #: as in pip.conf
    certificates: tuple[Path, ...]
    files: tuple[Path, ...]  #: that pip's settings name
    folders: tuple[Path, ...]  #: the same; nodes see them at the same place

    def write(self, root: Path, suite: str) -> None:
        """Into the root of a node."""
        if self.debian:
            _write(root / "etc/apt/sources.list", f"deb {self.debian} {suite} main\n")
        if self.apt:
            _write(root / "etc/apt/apt.conf.d/90archives", self.apt)
        if self.pip:
            _write(root / "etc/pip.conf", "[global]\n" + "".join(f"{k} = {v}\n" for k, v in self.pip.items()))
        for file in self.files:
            _copy(file, root)
        for folder in self.folders:
            (root / folder.relative_to("/")).mkdir(parents=True, exist_ok=True)
        for certificate in self.certificates:
            _copy(certificate, root)
            _trust(certificate, root)


@cache
def archives() -> Archives:
    """Of this machine."""
    pip = _pip()
    named = [(key, path) for key, value in pip.items() for path in _paths(value)]
    return Archives(
        debian=_debian(),
        apt="".join(f"{line}\n" for line in call("apt-config", "dump").splitlines() if line.startswith(_APT)),
        pip=pip,
        certificates=tuple(sorted(_CERTIFICATES.rglob("*.crt"))),
        files=tuple(path for _, path in named if path.is_file()),
        folders=tuple(sorted({_whole(key, path) for key, path in named if path.is_dir()})),
    )


def _debian() -> str | None:
    release = platform.freedesktop_os_release()
    if release.get("ID") != "debian":
        return None
    codename = f"Codename: {release['VERSION_CODENAME']}"
    found = call("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", codename).split()
    return next((uri for uri in found if uri.startswith("http")), None)


def _pip() -> dict[str, str]:
    found: dict[str, str] = {}
    # Sorted by pip: ":env:" comes first, and wins.
    for line in call(sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list").splitlines():
        place, _, value = line.partition("=")
        section, _, key = place.rpartition(".")
        if key in _PIP and section in (":env:", "global", "install"):
            found.setdefault(key, " ".join(str(ast.literal_eval(value)).split()))
    return {key: value for key, value in found.items() if value != _BUNDLE}


def _paths(value: str) -> Iterator[Path]:
    for word in value.split():
        if word.startswith("file:"):
            yield Path(url2pathname(urlsplit(word).path))
        elif re.match(r"/\w", word):
            yield Path(word)


def _whole(key: str, folder: Path) -> Path:
    """An index links to files beside it, so its surroundings are needed as well."""
    return folder.parent if key.endswith("index-url") and folder.parent != Path("/") else folder


def _trust(certificate: Path, root: Path) -> None:
    """What update-ca-certificates does with one. An emulated processor would need a minute for it."""
    certs = root / "etc/ssl/certs"
    pem = certs / f"{certificate.stem}.pem"
    pem.symlink_to(certificate)
    name = call("openssl", "x509", "-hash", "-noout", "-in", certificate).strip()
    number = next(n for n in range(100) if not (certs / f"{name}.{n}").is_symlink())
    (certs / f"{name}.{number}").symlink_to(pem.name)
    with (root / _BUNDLE.lstrip("/")).open("a") as bundle:
        bundle.write(certificate.read_text().strip() + "\n")


def _copy(file: Path, root: Path) -> None:
    target = root / file.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)
    target.chmod(0o644)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o644)
