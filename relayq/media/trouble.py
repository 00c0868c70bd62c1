"""What keeps a file from being converted, as one sentence for the person who asked."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

_DAMAGED = re.compile(
    r"moov atom not found|Invalid data found|EBML header parsing failed|Failed to read frame size|partial file"
    r"|could not find codec parameters|End of file",
    re.IGNORECASE,
)
_CUT_OFF = re.compile(r"partial file|File ended prematurely|Truncat", re.IGNORECASE)
LATE = 1.0  #: seconds that what came of it may be shorter, or a fiftieth of it
_PREFIX = re.compile(r"^(\[[^\]]*\] )+")  # of the part of ffmpeg that speaks


class Trouble(Exception):
    """The text is a sentence."""


class Stopped(BaseException):
    """The job is being ended: tidy up and go."""


def shown(path: str) -> str:
    """A path in one line."""
    return path if path.isprintable() else json.dumps(path, ensure_ascii=False)


def broken_off(said: Sequence[str], seconds: float, wanted: float | None) -> str | None:
    """How the input ends too soon, if it does: ffmpeg complains of it at most, and does not take it for a failure.

    `seconds` came of it, `wanted` it said that it has (None: any number will do).
    """
    if wanted is not None and seconds < wanted - max(LATE, wanted / 50):
        return f"it ends after {seconds:.1f} of {wanted:.1f} s"
    return "its end is missing" if any(_CUT_OFF.search(line) for line in said) else None


def of_ffmpeg(said: Sequence[str], code: int, *, machine: str, input: str, output: str) -> Trouble:
    """What ffmpeg's last lines mean."""
    text = "\n".join(said)
    if "No space left on device" in text:
        return Trouble(f"no space left on {machine} for {shown(output)}")
    if unknown := re.search(r"Unknown encoder '([^']*)'|Unrecognized option '([^']*)'", text):
        what = f"encoder {unknown[1]}" if unknown[1] else f"option -{unknown[2]}"
        return Trouble(f"the ffmpeg of {machine} has no {what}")
    last = next((_PREFIX.sub("", line).strip() for line in reversed(said) if line.strip()), "")
    if why := next((line for line in said if _DAMAGED.search(line)), ""):
        why = _PREFIX.sub("", why).replace(input, "").strip(" :'")
        return Trouble(f"{shown(input)} is damaged, incomplete or no video or sound: {why}")
    how = f"was ended by signal {-code}" if code < 0 else f"failed with exit code {code}"
    return Trouble(f"ffmpeg {how}: {last}" if last else f"ffmpeg {how}")
