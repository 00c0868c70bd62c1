"""Programs on PATH: those that jobs are routed by, and whatever somebody asked for."""

from __future__ import annotations

from collections.abc import Iterator

from relayq.model import Capability
from relayq.probes.look import Look

#: Worth knowing of before a job asks for them: the shipped routes name them.
PROGRAMS = (
    "ffprobe",
    "HandBrakeCLI",
    "mkvmerge",
    "melt",
    "blender",
    "whisper",
    "whisper-cli",
    "whisperx",
    "demucs",
    "x264",
    "x265",
    "SvtAv1EncApp",
    "av1an",
    "sox",
    "convert",
    "magick",
)


def probe(look: Look) -> Iterator[Capability]:
    """Each that is there; whether it runs, only running it would tell."""
    for program in dict.fromkeys((*PROGRAMS, *look.programs)):
        if look.which(program):
            yield Capability(name=program)
