"""What jobs write of themselves, outside Redis: files that are only ever appended to. They say what really ran."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

# /proc/uptime counts sleep and is read without starting a process; the order of the lines needs no clock at all.
_SAY = 'say() { read up _ </proc/uptime; echo "$1 $RELAYQ_JOB_ID $RELAYQ_ATTEMPT $up" >>"$RECORDS/$RELAYQ_JOB_ID"; }'


@dataclass(frozen=True)
class Line:
    """A job was running then."""

    what: str  #: "start", "tick" or "end"
    attempt: int
    at: float  #: seconds since the machine was started


def script(seconds: float, exit_code: int = 0, every: float = 0.05, count: bool = True) -> str:
    """A job that runs for about so long (frozen time excluded), says so with each tick, and counts on its stdout."""
    ticks = max(1, round(seconds / every))
    told = 'echo "$i"; ' if count else ""
    return (
        f"{_SAY}; say start; i=0; while [ $i -lt {ticks} ]; do i=$((i+1)); {told}sleep {every}; say tick; done; "
        f"say end; exit {exit_code}"
    )


def expected_output(seconds: float, every: float = 0.05) -> str:
    """What `script` prints if nothing is lost and nothing is repeated."""
    return "".join(f"{i}\n" for i in range(1, max(1, round(seconds / every)) + 1))


class Records:
    """The files of all jobs of one fleet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def of(self, job: str) -> list[Line]:
        """What a job said, in the order in which it was said."""
        try:
            text = (self.folder / job).read_text()
        except FileNotFoundError:
            return []
        found = re.findall(r"^(\w+) \S+ (\d+) ([\d.]+)$", text, re.MULTILINE)
        return [Line(what, int(attempt), float(at)) for what, attempt, at in found]

    def running(self, job: str, attempt: int = 1) -> bool:
        """Whether an attempt has begun."""
        return any(line.attempt == attempt for line in self.of(job))

    def overlaps(self, but: Collection[str] = ()) -> list[str]:
        """Jobs of which an attempt began twice, or did something after a newer one had begun."""
        found = []
        for file in sorted(self.folder.iterdir()):
            if file.name in but:
                continue
            newest = 0
            begun: set[int] = set()
            for line in self.of(file.name):
                if line.what == "start" and line.attempt in begun:
                    found.append(f"{file.name}: attempt {line.attempt} began twice, again at {line.at}")
                    break
                begun.add(line.attempt)
                if line.attempt < newest:
                    found.append(f"{file.name}: attempt {line.attempt} said {line.what} at {line.at} after {newest}")
                    break
                newest = line.attempt
        return found
