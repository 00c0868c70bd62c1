"""Turning speech into text: which engine a machine is to use, how far it is, and what is answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relayq.kinds import Kind, Machine, Plan, media_plan
from relayq.kinds.transcode import clock
from relayq.model import JobSpec
from relayq.params import ENGINES, MODEL, format_of
from relayq.progress import Progress

ENGLISH_ONLY = frozenset({"pocketsphinx"})
FETCHES_NOTHING = frozenset({"whisper.cpp"})  #: its owner fetches models


def plan(spec: JobSpec, machine: Machine) -> Plan:
    """One process of relayq's that loads the engine."""
    params = spec.params
    request = {
        "kind": "transcribe",
        "machine": machine.name,
        "input": params["input"],
        "output": params.get("output"),
        "engine": engine_for(params, machine),
        "model": params.get("model") or MODEL,
        "language": params.get("language"),
        "format": format_of(params),
    }
    return media_plan(request, machine)


def engine_for(params: Mapping[str, Any], machine: Machine) -> str:
    """The engine asked for, or the best that is there and speaks the language. Raises ValueError."""
    asked, language = params.get("engine"), (params.get("language") or "en").split("-")[0].lower()
    there = [name for name in ENGINES if name in machine.offers and asked in (None, name)]
    if not there:
        has = f"has no {asked}" if asked else "has nothing that turns speech into text"
        raise ValueError(f"{machine.name} {has}. {how_to_install(asked, machine.python)}")
    able = [name for name in there if name not in ENGLISH_ONLY or language in ("en", "english")]
    if not able:
        raise ValueError(f"{there[0]} only knows English. {how_to_install(None, machine.python)}")
    model = params.get("model") or MODEL
    return min(able, key=lambda name: _lacks_its_model(name, model, machine))


def _lacks_its_model(engine: str, model: str, machine: Machine) -> bool:
    """Whether the engine would have to fetch a model and cannot."""
    names = {model, "large-v3-turbo"} if model == "turbo" else {model}
    return engine in FETCHES_NOTHING and "/" not in model and not any(f"{engine}:{n}" in machine.offers for n in names)


def how_to_install(engine: str | None = None, python: str = "python3") -> str:
    """A sentence for the owner of a machine without it."""
    pip = f"{python} -m pip install"
    if engine == "whisper.cpp":
        return "Install it there: brew install whisper-cpp"
    if engine:
        return f"Install it there: {pip} {engine}"
    return f"Install an engine there: {pip} faster-whisper; on Apple silicon: {pip} mlx-whisper"


def progress(at: float, seconds: float | None) -> Progress:
    """How far it is, when the words up to that second are known.

    >>> progress(42.0, 100.0)
    Progress(fraction=0.42, message='0:42 of 1:40')
    """
    if not seconds:
        return Progress(None, clock(at))
    return Progress(min(0.999, round(at / seconds, 4)), f"{clock(at)} of {clock(seconds)}")


def value(spec: JobSpec, last_words: str) -> None:
    """The transcript in the format asked for: its stdout."""


TRANSCRIBE = Kind(plan, value)
