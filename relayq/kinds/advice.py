"""What to install where no machine can do a job."""

from __future__ import annotations

from relayq.kinds.transcribe import how_to_install
from relayq.model import JobSpec

_FFMPEG = "Install ffmpeg there: apt install ffmpeg; on a Mac: brew install ffmpeg; or: pip install imageio-ffmpeg"


def advised(refusal: str, spec: JobSpec) -> str:
    """The sentence that refuses it, and how to make a machine able to. Of a command its owner knows more than we."""
    if spec.kind == "transcode":
        return f"{refusal}. {_FFMPEG}"
    return f"{refusal}. {how_to_install(spec.params.get('engine'))}" if spec.kind == "transcribe" else refusal
