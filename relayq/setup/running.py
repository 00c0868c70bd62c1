"""Whether a service runs what is installed now: a run that broke off may have changed it without a restart."""

from __future__ import annotations

from relayq.effects import Effects
from relayq.receipt import sha256_of
from relayq.setup import venvs
from relayq.setup.places import Places

_FACT = "runs"


def look(places: Places, effects: Effects) -> None:
    """Have the service restarted when it is installed, if what it read at its last start was something else."""
    runs = effects.receipt.facts.get(_FACT)
    if runs is not None and runs != _now(places):
        effects.changed.add(str(places.current))


def has_run(effects: Effects) -> bool:
    """Whether a service of this installation was ever started."""
    return _FACT in effects.receipt.facts


def note(places: Places, effects: Effects) -> None:
    """It has been started with what is installed now."""
    effects.receipt.note_fact(_FACT, _now(places))


def _now(places: Places) -> str:
    try:
        config = places.config.read_text("utf-8")
    except OSError:
        config = ""
    return f"{venvs.target(places.current)} {sha256_of(config)}"
