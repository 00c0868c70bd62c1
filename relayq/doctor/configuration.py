"""Checks of what this machine was told: the settings, who can read the password in them, and what runs relayq."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from relayq.doctor.context import Context
from relayq.doctor.findings import Finding, Fix, check, ok, problem, warning

OLDEST_PYTHON = (3, 11)
_SECRET = re.compile(r"\bpassword['\"]?\s*:\s*\S|://[^/\s]*:[^/\s]+@")


@check("settings")
def settings(context: Context) -> Iterator[Finding]:
    """The file can be read and understood."""
    file = context.settings.home / "config.yml"
    if context.trouble:
        yield problem(context.trouble)
    elif os.path.exists(file):  # noqa: PTH110 - never raises
        yield ok(str(file))
    else:
        yield ok("no config.yml; environment and defaults count")


@check("secrets")
def secrets(context: Context) -> Iterator[Finding]:
    """Nobody else reads the password, or changes what this machine does."""
    home = context.settings.home
    file = home / "config.yml"
    seen = open_to_all = 0
    for path in (home, file):
        try:
            found = path.stat()
        except OSError:
            continue
        seen += 1
        if found.st_mode & stat.S_IWOTH:
            open_to_all += 1
            sentence = f"everybody may change {path}, and so what runs here"
            yield problem(sentence, f"chmod o-w {path}", _chmod("o-w", path, found))
    if _holds_password(file) and not _private(found := file.stat()):
        sentence = f"others than you can read the password in {file}"
        yield problem(sentence, f"chmod 600 {file}", _chmod("600", file, found))
    elif seen and not open_to_all:
        yield ok("nobody else can read the password here")


@check("python")
def python(context: Context) -> Iterator[Finding]:
    """relayq has what it needs, and the command is this relayq's."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        yield problem(f"Python {version} is too old: relayq needs {'.'.join(map(str, OLDEST_PYTHON))} or newer")
    unmet = list(_unmet())
    for wanted, installed in unmet:
        has = f"{installed} is installed" if installed else "is not installed"
        yield problem(f"relayq needs {wanted}, and it {has}", f"{sys.executable} -m pip install '{wanted}'")
    other = _another_command()
    if other:
        yield warning(
            f"the command {other} belongs to another installation than this one ({sys.prefix})",
            f"ls -l {other}",
        )
    elif not unmet:
        yield ok(f"{version} in {sys.prefix}")


def _holds_password(file: Path) -> bool:
    try:
        return bool(_SECRET.search(file.read_text("utf-8", errors="replace")))
    except OSError:
        return False


def _private(found: os.stat_result) -> bool:
    # A system's file may be for a group, if it is root's: the service's.
    allowed = 0o640 if found.st_uid == 0 and os.geteuid() != 0 else 0o600
    return not found.st_mode & 0o777 & ~allowed


def _chmod(mode: str, path: Path, found: os.stat_result) -> Fix:
    return lambda effects: effects.run(
        ["chmod", mode, str(path)], why="keep it to its owner", root=found.st_uid != os.geteuid()
    )


def _unmet() -> Iterator[tuple[str, str | None]]:
    """(what relayq needs, what is installed)"""
    from packaging.requirements import Requirement

    try:
        wanted = metadata.requires("relayq") or []
    except metadata.PackageNotFoundError:  # run from its source
        return
    for requirement in map(Requirement, wanted):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield f"{requirement.name}{requirement.specifier}", None
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            yield f"{requirement.name}{requirement.specifier}", installed


def _another_command() -> str | None:
    """The `relayq` on PATH, if another Python than this runs it."""
    found = shutil.which("relayq")
    try:
        first = Path(found).open("rb").readline(512) if found else b""  # noqa: SIM115 - closed with the expression
    except OSError:
        return None
    line = first.decode(errors="replace").strip()
    if not line.startswith("#!/") or "python" not in line:
        return None  # none, or a wrapper whose aim cannot be seen
    runs = Path(line[2:].split()[0]).parent
    return found if runs.resolve() != Path(sys.executable).parent.resolve() else None
