"""ffmpeg, and which of its encoders really work: each that it lists has to encode a picture."""

from __future__ import annotations

import re
from collections.abc import Iterator

from relayq.media.probe import carried_ffmpeg
from relayq.model import Capability
from relayq.params import CAN_TRANSCODE
from relayq.probes.look import Look

#: Encoders worth trying: of the processor, then of Apple, Nvidia, Intel and AMD (VAAPI), and the Raspberry Pi.
ENCODERS = (
    "libx264",
    "libx265",
    "h264_videotoolbox",
    "hevc_videotoolbox",
    "h264_nvenc",
    "hevc_nvenc",
    "h264_vaapi",
    "hevc_vaapi",
    "h264_v4l2m2m",
)
PICTURE = "color=c=black:size=640x360:rate=25"  #: hardware refuses smaller ones
VAAPI_DEVICE = "/dev/dri/renderD128"


def probe(look: Look) -> Iterator[Capability]:
    """`ffmpeg` with its version, `transcode`, and `encoder:NAME` for each that it lists.

    Where none is on PATH, the one that a package carries can transcode; commands do not find it.
    """
    program = look.which("ffmpeg")
    if program is not None:
        said = look.run(program, "-hide_banner", "-version")
        version = re.match(r"ffmpeg version n?(\S+)", said.out)
        if said.code != 0 or version is None:
            yield Capability(name="ffmpeg", works=False, why_not=said.complaint)
            return
        yield Capability(name="ffmpeg", version=version[1])
    elif (program := carried_ffmpeg()) is None:
        return
    yield Capability(name=CAN_TRANSCODE)
    listed = look.run(program, "-hide_banner", "-encoders").out
    for encoder in ENCODERS:
        if re.search(rf"^ *V\S+ {encoder} ", listed, re.MULTILINE):
            said = look.run(program, *encode_one(encoder))
            works = said.code == 0
            yield Capability(name=f"encoder:{encoder}", works=works, why_not=None if works else said.complaint)


def encode_one(encoder: str) -> list[str]:
    """The arguments that encode one picture and throw it away."""
    quiet = ["-hide_banner", "-nostdin", "-loglevel", "error"]
    upload = encoder.endswith("_vaapi")  # the only one that takes its pictures from the card's memory
    device = ["-vaapi_device", VAAPI_DEVICE] if upload else []
    layout = ["-vf", "format=nv12,hwupload"] if upload else ["-pix_fmt", "yuv420p"]
    picture = [*device, "-f", "lavfi", "-i", PICTURE, "-frames:v", "1"]
    return [*quiet, *picture, *layout, "-c:v", encoder, "-f", "null", "-"]
