"""Converting a video with ffmpeg, as 1.x did: input, the user's options exactly, output."""

from __future__ import annotations

import shlex
from typing import Any

from relayq.kinds import Kind, Plan
from relayq.model import JobSpec


def plan(spec: JobSpec) -> Plan:
    """One ffmpeg, without a shell: paths may hold spaces, quotes and newlines."""
    input, output, options = (spec.params.get(name) for name in ("input", "output", "options"))
    argv = ("ffmpeg", "-hide_banner", "-nostdin", "-y", "-i", _path(str(input)), *shlex.split(options or ""))
    return Plan(argv=(*argv, _path(str(output))))


def value(spec: JobSpec, last_words: str) -> Any:
    """What 1.x answered."""
    return {"status": "success", "output": spec.params.get("output")}


def _path(path: str) -> str:
    """A name that ffmpeg cannot take for an option or a protocol."""
    return path if path.startswith("/") else f"file:{path}"


TRANSCODE = Kind(plan, value)
