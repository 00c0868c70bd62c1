"""ffmpeg for the demo: where it is, what it is asked, how far it is, and what is really in the file it made."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from relayq.errors import RelayqError


@dataclass(frozen=True, kw_only=True)
class Video:
    """What decoding a whole video told of it."""

    seconds: float
    codec: str
    size: str  #: as "640x360"
    frames: int
    bytes: int

    def __str__(self) -> str:
        return f"{self.codec} {self.size}, {self.frames} frames, {self.seconds:.2f} s, {self.bytes / 1000:.0f} kB"


def find_ffmpeg() -> str:
    """The system's, else the one in the wheel imageio-ffmpeg. Raises RelayqError if there is neither."""
    if found := shutil.which("ffmpeg"):
        return found
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        raise RelayqError(
            "there is no ffmpeg. Install it (apt install ffmpeg, brew install ffmpeg), or: pip install 'relayq[ffmpeg]'"
        ) from None


def shrink(ffmpeg: str, clip: Path, output: Path) -> list[str]:
    """The command that makes a smaller H.264 of `clip`, telling its progress on stdout."""
    quiet = ["-hide_banner", "-nostdin", "-nostats", "-loglevel", "error", "-progress", "pipe:1"]
    picture = ["-vf", "scale=640:-2", "-c:v", "libx264", "-preset", "slow", "-crf", "26"]
    return [ffmpeg, *quiet, "-y", "-i", str(clip), *picture, "-c:a", "copy", str(output)]


def progress(lines: Iterable[str]) -> str:
    """The last that `-progress` told, in words; empty if it has not begun."""
    told = dict(line.strip().split("=", 1) for line in lines if "=" in line)
    if not told.get("frame"):
        return ""
    return f"frame {told['frame']}, {told.get('out_time', '')[3:11]} of video, {told.get('speed', '?').strip()}"


def examine(ffmpeg: str, video: Path, timeout: float) -> Video:
    """Decode all of it and tell what it is. Raises RelayqError if it is no whole video."""
    argv = [ffmpeg, "-hide_banner", "-nostdin", "-xerror", "-i", str(video), "-map", "0:v:0", "-f", "null", "-"]
    done = subprocess.run(argv, capture_output=True, timeout=timeout, check=False)
    told = done.stderr.decode(errors="replace")
    duration = re.search(r"Duration: (\d+):(\d+):([\d.]+)", told)
    stream = re.search(r"Stream #0:\d.*?: Video: (\w+).*?(\d{2,5}x\d{2,5})", told)
    frames = re.findall(r"frame=\s*(\d+)", told)
    if done.returncode or not (duration and stream and frames):
        raise RelayqError(f"{video} is not a whole video: {told.strip()[-300:]}")
    hours, minutes, seconds = duration.groups()
    return Video(
        seconds=int(hours) * 3600 + int(minutes) * 60 + float(seconds),
        codec=stream[1],
        size=stream[2],
        frames=int(frames[-1]),
        bytes=video.stat().st_size,
    )
