"""Which of the installed packages runs: an upgrade moves a link, a rollback moves it back."""

from __future__ import annotations

from pathlib import Path

from relayq.effects import Effects
from relayq.errors import SetupError
from relayq.receipt import Receipt
from relayq.setup.installation import ROLE_FILE
from relayq.setup.places import Places, own_venv


def activate(places: Places, effects: Effects) -> Path:
    """Let the package that this process belongs to be the one that runs; the program to name in services.

    Two packages are kept: it and the one before. Run from elsewhere (a checkout, pipx), nothing is moved and the
    program is that one's.
    """
    venv = own_venv()
    if venv.parent != places.venvs:
        if effects.dry_run and not venv.is_relative_to(Path.home()):
            return places.current / "bin/relayq"
        return venv / "bin/relayq"
    if not effects.dry_run:
        _take_notes(places, effects.receipt)
    effects.file(places.prefix / ROLE_FILE, f"{effects.receipt.role}\n")
    before = target(places.current)
    effects.link(places.current, venv)
    if before not in (None, venv) and before.is_dir():
        effects.link(places.previous, before)
    _link_command(places, effects)
    kept = {venv, target(places.previous)}
    for other in sorted(places.venvs.iterdir()):
        if other not in kept and not (effects.dry_run and other == before):
            effects.remove(other)
    return places.current / "bin/relayq"


def roll_back(places: Places, effects: Effects) -> Path:
    """Let the package before run again; what ran until now becomes the previous one. Returns the venv."""
    now, before = target(places.current), target(places.previous)
    if before is None or not (before / "bin/relayq").exists():
        raise SetupError(f"there is no earlier relayq to go back to in {places.prefix}")
    effects.link(places.current, before)
    if now is not None:
        effects.link(places.previous, now)
    return before


def target(link: Path) -> Path | None:
    """Where a link points; None if there is none."""
    return link.readlink() if link.is_symlink() else None


def version_of(venv: Path | None) -> str:
    """The version of the package in there, from the name of its wheel."""
    wheels = sorted((venv / "wheel").glob("*.whl")) if venv else []
    return version_in(wheels[0].name) if wheels else "an unknown version"


def version_in(wheel_name: str) -> str:
    """The version of a wheel: "relayq-2.0.0-py3-none-any.whl"."""
    return wheel_name.split("-")[1] if wheel_name.count("-") > 1 else wheel_name


def _link_command(places: Places, effects: Effects) -> None:
    program = places.current / "bin/relayq"
    there = target(places.command)
    if places.command.exists() and there != program and not effects.receipt.knows(places.command):
        effects.say(f"  {places.command} is another relayq's and stays; this one is {program}")
        return
    for folder in reversed([p for p in places.command.parents if not p.is_dir()]):
        effects.folder(folder)
    effects.link(places.command, program)


def _take_notes(places: Places, receipt: Receipt) -> None:
    """What the shell script had to make before there was a receipt."""
    for notes in sorted(places.venvs.glob("*/made")):
        for line in notes.read_text("utf-8").splitlines():
            what, _, name = line.partition(" ")
            if what == "folder":
                receipt.note_folder(Path(name))
            elif what == "package":
                receipt.note_package(name)
    receipt.note_folder(places.prefix)
