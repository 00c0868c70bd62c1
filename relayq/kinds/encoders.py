"""Which encoders make which codec, what each is told for which preset, and which of them a machine is to try."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Encoder:
    """An encoder of ffmpeg and its arguments."""

    name: str
    fast: tuple[str, ...]
    quality: tuple[str, ...]
    hardware: bool = True
    layout: tuple[str, ...] = ("-vf", "crop=trunc(iw/2)*2:trunc(ih/2)*2", "-pix_fmt", "yuv420p")  #: even sides
    device: tuple[str, ...] = ()  #: before the input


_VAAPI_LAYOUT = ("-vf", "crop=trunc(iw/2)*2:trunc(ih/2)*2,format=nv12,hwupload")
_VAAPI_DEVICE = ("-vaapi_device", "/dev/dri/renderD128")

#: By codec, the fastest first; the last is the processor's own.
ENCODERS: dict[str, tuple[Encoder, ...]] = {
    "h264": (
        Encoder("h264_videotoolbox", ("-q:v", "55"), ("-q:v", "70")),
        Encoder("h264_nvenc", ("-preset", "p3", "-cq", "25", "-b:v", "0"), ("-preset", "p6", "-cq", "20", "-b:v", "0")),
        Encoder("h264_vaapi", ("-qp", "24"), ("-qp", "20"), layout=_VAAPI_LAYOUT, device=_VAAPI_DEVICE),
        Encoder("h264_v4l2m2m", ("-b:v", "5M"), ("-b:v", "10M")),
        Encoder("libx264", ("-preset", "veryfast", "-crf", "23"), ("-preset", "medium", "-crf", "20"), hardware=False),
    ),
    "h265": (
        Encoder("hevc_videotoolbox", ("-q:v", "55"), ("-q:v", "70")),
        Encoder("hevc_nvenc", ("-preset", "p3", "-cq", "28", "-b:v", "0"), ("-preset", "p6", "-cq", "23", "-b:v", "0")),
        Encoder("hevc_vaapi", ("-qp", "26"), ("-qp", "22"), layout=_VAAPI_LAYOUT, device=_VAAPI_DEVICE),
        Encoder("libx265", ("-preset", "ultrafast", "-crf", "26"), ("-preset", "medium", "-crf", "23"), hardware=False),
    ),
}


def candidates(codec: str, preset: str, offers: Set[str]) -> tuple[Encoder, ...]:
    """The encoders to try there, best first: hardware for "fast", the processor's own for "quality".

    A machine that has not told which work is given the processor's own. Raises ValueError if none works.
    """
    all = ENCODERS[codec]
    if not any(word.startswith("encoder:") for word in offers):
        return all[-1:]
    working = tuple(encoder for encoder in all if f"encoder:{encoder.name}" in offers)
    if not working:
        names = ", ".join(encoder.name for encoder in all)
        raise ValueError(f"no encoder for {codec} works there (none of {names}). See: relayq workers")
    return working if preset == "fast" else tuple(sorted(working, key=lambda encoder: encoder.hardware))
