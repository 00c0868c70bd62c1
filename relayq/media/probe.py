"""What is in a media file, by ffprobe; by ffmpeg where that is all there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

from relayq.media.trouble import Trouble


@dataclass(frozen=True, slots=True)
class Facts:
    """Of one file; None is what it has not, or does not tell."""

    duration: float | None = None  #: seconds
    video: str | None = None  #: the codec of its first moving pictures
    audio: str | None = None
    least: float | None = None  #: seconds that its pictures or its sound last; subtitles may go on
    sound: float | None = None  #: seconds that its first sound track lasts


def find_ffmpeg() -> str | None:
    """ffmpeg on PATH, else the one that a package carries."""
    return shutil.which("ffmpeg") or carried_ffmpeg()


def carried_ffmpeg() -> str | None:
    """The one in the package imageio-ffmpeg (`pip install 'relayq[ffmpeg]'`)."""
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        return None


def the_ffmpeg(machine: str) -> str:
    """The same. Raises Trouble if there is none."""
    if (found := find_ffmpeg()) is None:
        raise Trouble(f"{machine} has no ffmpeg. Install it there: apt install ffmpeg; on a Mac: brew install ffmpeg")
    return found


def facts_of(path: str, ffmpeg: str) -> Facts:
    """What is in this file; nothing if it is no media file."""
    if ffprobe := shutil.which("ffprobe"):
        argv = [ffprobe, "-v", "error", "-of", "json", "-show_format", "-show_streams", named(path)]
        return from_ffprobe(_said(argv)[0])
    return from_ffmpeg(_said([ffmpeg, "-hide_banner", "-nostdin", "-i", named(path)])[1])


def named(path: str) -> str:
    """A name that ffmpeg cannot take for an option or a protocol; an address stays one."""
    return path if path.startswith("/") or is_address(path) else f"file:{path}"


def is_address(path: str) -> bool:
    """Whether this is fetched from somewhere: https://…, rtsp://…"""
    return re.match(r"[a-z][a-z0-9+.-]*://", path) is not None


def from_ffprobe(text: str) -> Facts:
    """Facts from `ffprobe -of json -show_format -show_streams`."""
    try:
        told = json.loads(text)
    except ValueError:
        return Facts()
    streams = [s for s in told.get("streams", ()) if not (s.get("disposition") or {}).get("attached_pic")]
    codec = {s.get("codec_type"): s.get("codec_name") for s in reversed(streams)}
    duration = _seconds((told.get("format") or {}).get("duration"))
    # Of several sound tracks one is converted, whichever.
    lasts = {kind: [_lasts(s) for s in streams if s.get("codec_type") == kind] for kind in ("video", "audio")}
    known = [min(seconds) for all in lasts.values() if all and (seconds := [s for s in all if s is not None]) == all]
    least = max(known) if known and len(known) == sum(map(bool, lasts.values())) else duration
    # Alone in the file it lasts as long as that; beside pictures it need not.
    sound = next(iter(lasts["audio"]), None) or (None if lasts["video"] else duration)
    return Facts(duration, codec.get("video"), codec.get("audio"), least, sound)


def _lasts(stream: dict[str, Any]) -> float | None:
    """How long one stream lasts; Matroska has it among the tags."""
    return _seconds(stream.get("duration") or (stream.get("tags") or {}).get("DURATION"))


def _seconds(text: str | None) -> float | None:
    """
    >>> _seconds("2.5"), _seconds("01:00:02.500000000"), _seconds("N/A")
    (2.5, 3602.5, None)
    """
    total = 0.0
    try:
        for part in (text or "").split(":"):
            total = total * 60 + float(part)
    except ValueError:
        return None
    return total


def from_ffmpeg(text: str) -> Facts:
    """Facts from what `ffmpeg -i` says before it complains that nothing is to be done."""
    text = text.split("\nOutput #", maxsplit=1)[0]
    duration = re.search(r"^ *Duration: ([\d:.]+)", text, re.MULTILINE)
    streams = re.findall(r"^ *Stream #\S+: (Video|Audio): (\w+)(.*)$", text, re.MULTILINE)
    codec = {kind: name for kind, name, more in reversed(streams) if "(attached pic)" not in more}
    seconds = _seconds(duration[1]) if duration else None
    sound = None if "Video" in codec else seconds
    return Facts(seconds, codec.get("Video"), codec.get("Audio"), seconds, sound)


def _said(argv: list[str]) -> tuple[str, str]:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
