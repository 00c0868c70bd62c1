"""Programs on PATH: those that jobs are routed by, and whatever somebody asked for."""

from __future__ import annotations

from collections.abc import Iterator

from relayq import routes
from relayq.model import Capability
from relayq.probes.look import Look

#: Worth knowing of before a job asks for them: what the shipped routes name, and some more.
PROGRAMS = (*sorted(routes.PROGRAMS - {"ffmpeg", "docker", "python"}), "mkvmerge", "sox", "convert", "magick")


def probe(look: Look) -> Iterator[Capability]:
    """Each that is there; whether it runs, only running it would tell."""
    for program in dict.fromkeys((*PROGRAMS, *look.programs)):
        if look.which(program):
            yield Capability(name=program)
