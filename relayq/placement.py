"""Which worker may run a job, and why not: pure functions over records."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from relayq.errors import BadSpec
from relayq.model import JobSpec, WorkerInfo

ANY = "any"  #: the lane of jobs that every worker may run
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
LABEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:<>=-]{0,63}")


def lane_for(spec: JobSpec) -> str:
    """The queue of all jobs with the same requirement.

    >>> lane_for(JobSpec(command="true", on="mac-mini", needs=("heavy", "ffmpeg")))
    'on:mac-mini needs:ffmpeg+heavy'
    """
    parts = []
    if spec.on:
        parts.append(f"on:{spec.on}")
    if spec.needs:
        parts.append("needs:" + "+".join(sorted(set(spec.needs))))
    return " ".join(parts) or ANY


def requirement(lane: str) -> tuple[str | None, tuple[str, ...]]:
    """What a lane asks for: a worker's name, and labels or capabilities."""
    on: str | None = None
    needs: tuple[str, ...] = ()
    for part in lane.split():
        word, _, rest = part.partition(":")
        if word == "on":
            on = rest
        elif word == "needs":
            needs = tuple(rest.split("+"))
    return on, needs


def why_not(worker: WorkerInfo, lane: str) -> str | None:
    """Why this worker may not run jobs of the lane, as the end of a sentence; None if it may."""
    on, needs = requirement(lane)
    if on is not None and on != worker.name:
        return f"is not {on}"
    missing = [need for need in needs if need not in worker.offers]
    if missing:
        return f"lacks {_listed(missing)}"
    return None


def eligible(worker: WorkerInfo, lane: str) -> bool:
    """Whether this worker may run jobs of the lane."""
    return why_not(worker, lane) is None


def refusal(workers: Sequence[WorkerInfo], lane: str) -> str:
    """The sentence for a job that no known worker may run."""
    on, needs = requirement(lane)
    named = next((w for w in workers if w.name == on), None)
    if not workers:
        what = f"is called {on}" if on else f"has {_listed(needs)}"
        return f"no worker {what}: none has joined yet. Start one with: relayq worker"
    if on is not None and named is None:
        names = ", ".join(sorted(w.name for w in workers))
        return f'no worker is called "{on}"; there are: {names}'
    if named is not None:
        return f"{named.name} {why_not(named, lane)}. See: relayq workers"
    return f"no worker can run this job: it needs {_listed(needs)}. See: relayq workers"


def check_names(spec: JobSpec) -> None:
    """Raise BadSpec if a name or label could not exist."""
    if spec.on is not None and not NAME.fullmatch(spec.on):
        raise BadSpec(f"{spec.on!r} cannot be a worker's name: use letters, digits, '.', '_' and '-'")
    for label in (*spec.needs, *spec.prefer):
        if not LABEL.fullmatch(label):
            raise BadSpec(f"{label!r} cannot be a label or capability: use letters, digits and . _ - : < > =")


def _listed(words: Iterable[str]) -> str:
    quoted = [f'"{word}"' for word in words]
    return quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + " and " + quoted[-1]
