"""What to install where no machine can do a job."""

from __future__ import annotations

from relayq.kinds.transcribe import how_to_install
from relayq.model import JobSpec


def advice(spec: JobSpec) -> str:
    """A sentence; empty for a command, of which its owner knows more than we."""
    if spec.kind == "transcode":
        return "Install ffmpeg there: apt install ffmpeg; on a Mac: brew install ffmpeg; or: pip install imageio-ffmpeg"
    return how_to_install(spec.params.get("engine")) if spec.kind == "transcribe" else ""
