"""Finding out what a machine can do, by trying it: the probes, and how they are run.

A probe is a function that is given a `Look` and answers the capabilities it found: what works, and what is there but
does not work, with the reason. One that fails or takes too long only means that nothing was found. Other packages add
theirs under the entry point group `relayq.probes`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import entry_points

from relayq.model import Capability
from relayq.probes import docker, ffmpeg, programs, python, transcription
from relayq.probes.look import Look

log = logging.getLogger("relayq.worker")

Probe = Callable[[Look], Iterable[Capability]]

GROUP = "relayq.probes"
LIMIT = 30.0  #: seconds for one probe

PROBES: tuple[tuple[str, Probe], ...] = (
    ("python", python.probe),
    ("programs", programs.probe),
    ("docker", docker.probe),
    ("transcription", transcription.probe),
    ("ffmpeg", ffmpeg.probe),
)


def found(
    look: Look, probes: Sequence[tuple[str, Probe]] | None = None, limit: float = LIMIT
) -> tuple[Capability, ...]:
    """What all probes found, by name; of several with one name the first that works."""
    each: dict[str, Capability] = {}
    for name, probe in (*PROBES, *_others()) if probes is None else probes:
        for capability in _answer(name, probe, look, limit):
            known = each.get(capability.name)
            if known is None or (capability.works and not known.works):
                each[capability.name] = capability
    return tuple(each[name] for name in sorted(each))


def _answer(name: str, probe: Probe, look: Look, limit: float) -> list[Capability]:
    """In a thread of its own: what hangs there must not hang the others, nor take away what was found before."""
    answers: list[Capability] = []

    def ask() -> None:
        try:
            answers.extend(each for each in probe(look) if isinstance(each, Capability))
        except Exception as error:  # noqa: BLE001  (whatever a probe of others raises: it has found nothing more)
            log.warning("the probe %s failed: %s", name, error)

    thread = threading.Thread(target=ask, name=f"relayq-probe-{name}", daemon=True)
    thread.start()
    thread.join(limit)
    if thread.is_alive():
        log.warning("the probe %s did not end within %g s", name, limit)
    return list(answers)


def _others() -> Iterator[tuple[str, Probe]]:
    for entry in entry_points(group=GROUP):
        try:
            yield entry.name, entry.load()
        except Exception as error:  # noqa: BLE001  (a broken package of others)
            log.warning("the probe %s cannot be loaded: %s", entry.name, error)
