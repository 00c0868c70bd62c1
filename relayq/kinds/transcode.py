"""Converting a video with ffmpeg: which arguments a machine is to try, how far it is, and what is answered."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from relayq.kinds import Kind, Machine, Plan, media_plan
from relayq.kinds.encoders import candidates
from relayq.model import JobSpec
from relayq.params import CODECS, PRESETS
from relayq.progress import Progress

#: Containers that hold what we encode; for all others ffmpeg knows best what belongs into them.
_CONTAINERS = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".ts", ".m2ts"})
_QUICKTIME = frozenset({".mp4", ".m4v", ".mov"})
#: Options with which the output may rightly be shorter than the input.
_SHORTENING = ("-t", "-to", "-ss", "-sseof", "-fs", "-shortest", "-frames", "-vframes", "-aframes", "-i", "-f", "-map")
_RETIMING = ("-vf", "-af", "-filter", "-lavfi", "-itsscale", "-vn", "-an", "-r", "-loop", "-stream_loop", "-segment")


def plan(spec: JobSpec, machine: Machine) -> Plan:
    """One process of relayq's that runs ffmpeg without a shell: paths may hold spaces, quotes and newlines."""
    request = {
        "kind": "transcode",
        "machine": machine.name,
        "input": spec.params["input"],
        "output": spec.params["output"],
        **_asked(spec.params, machine),
    }
    return media_plan(request, machine)


def _asked(params: Mapping[str, Any], machine: Machine) -> dict[str, Any]:
    """The arguments to try, best first; and whether the output is to be as long as the input."""
    options = params.get("options")
    suffix = PurePosixPath(params["output"]).suffix.lower()
    codec, preset = params.get("codec") or CODECS[0], params.get("preset") or PRESETS[0]
    if options is not None:
        words = shlex.split(options)
        return {"tries": [{"encoder": None, "before": [], "after": words}], "whole": _whole(words)}
    if suffix not in _CONTAINERS and not params.get("codec"):
        return {
            "tries": [{"encoder": None, "before": [], "after": []}],
            "whole": suffix not in {".gif", ".png", ".jpg"},
        }
    tries = []
    for encoder in candidates(codec, preset, machine.offers):
        told = encoder.fast if preset == "fast" else encoder.quality
        pictures, sound = ["-c:v", encoder.name, *told, *encoder.layout, *_tag(codec, suffix)], _sound(suffix)
        tries.append(
            {"encoder": encoder.name, "before": [*encoder.device], "after": [*pictures, *sound], "sound": sound}
        )
    return {"tries": tries, "whole": True}


def _tag(codec: str, suffix: str) -> list[str]:
    """Apple's players know HEVC by this one only."""
    return ["-tag:v", "hvc1"] if codec == "h265" and suffix in _QUICKTIME else []


def _sound(suffix: str) -> list[str]:
    """Also what makes players begin before they have all of the file."""
    return ["-c:a", "aac", "-b:a", "160k", "-movflags", "+faststart"] if suffix in _QUICKTIME else []


def _whole(words: list[str]) -> bool:
    plain = {word.partition(":")[0] for word in words}
    return not any(word in plain for word in (*_SHORTENING, *_RETIMING))


def progress(told: Mapping[str, str], seconds: float | None) -> Progress:
    """How far it is, from one block of ffmpeg's `-progress`; `seconds` is how long the output will be.

    >>> progress({"out_time_us": "42000000", "fps": "118.2", "speed": "3.9x"}, 100.0)
    Progress(fraction=0.42, message='118 fps, 3.9×, 0:15 left')
    """
    done, speed, fps = (_number(told.get(name, "")) for name in ("out_time_us", "speed", "fps"))
    at = max(0.0, (done or 0.0) / 1e6)
    ended = told.get("progress") == "end"
    fraction = None
    if seconds:
        fraction = 1.0 if ended else min(0.999, round(at / seconds, 4))
    words = [f"{fps:.0f} fps" if fps else "", f"{speed:.2g}×" if speed else ""]
    if seconds and speed and not ended:
        words.append(f"{clock(max(0.0, seconds - at) / speed)} left")
    return Progress(fraction, ", ".join(word for word in words if word) or None)


def value(spec: JobSpec, last_words: str) -> dict[str, Any]:
    """What 1.x answered, and sizes, duration and codecs beside it."""
    try:
        found = json.loads(last_words)
    except ValueError:
        found = {}
    return {"status": "success", "output": spec.params.get("output"), **(found if isinstance(found, dict) else {})}


def clock(seconds: float) -> str:
    """A length of time as clocks show it: 0:14, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _number(text: str) -> float | None:
    try:
        return float(text.strip().rstrip("x"))
    except ValueError:
        return None  # N/A


TRANSCODE = Kind(plan, value)
