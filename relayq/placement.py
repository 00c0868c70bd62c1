"""Which worker may run a job, and why not: pure functions over records.

A job's requirement is its *lane*. Of it `on:` and `needs:` are hard: a worker that does not meet them never runs the
job. `with:` and `first:` come from a rule (`relayq.routes`) and only say who goes first: `with:` names programs, which
bind while a known worker has them, `first:` labels, which bind while a worker that carries them has been online in the
last ten minutes, busy or not. The store's scripts do the same with what each worker says it lacks of a rule
(`rule_lacks`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from relayq.errors import BadSpec
from relayq.model import JobSpec, WorkerInfo, WorkerState
from relayq.requirements import has, listed, missing, spoken, trouble

ANY = "any"  #: the lane of jobs that every worker may run
RECENT = 600.0  #: seconds that a label of a rule binds after a worker that carries it was last there
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")

LACKS_PROGRAM = 2
LACKS_LABEL = 1


@dataclass(frozen=True, slots=True)
class Rule:
    """What a route asks for a command."""

    programs: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane's text, read."""

    on: str | None = None
    needs: tuple[str, ...] = ()
    rule: Rule = Rule()


def lane_for(spec: JobSpec, rule: Rule | None = None) -> str:
    """The queue of all jobs with the same requirement.

    >>> lane_for(JobSpec(command="true", on="mac-mini", needs=("heavy", "ffmpeg")))
    'on:mac-mini needs:ffmpeg+heavy'
    >>> lane_for(JobSpec(command="ffmpeg"), Rule(("ffmpeg",), ("heavy",)))
    'with:ffmpeg first:heavy'
    """
    parts = []
    if spec.on:
        parts.append(f"on:{spec.on}")
    if spec.needs:
        parts.append("needs:" + "+".join(sorted(set(spec.needs))))
    if rule is not None and not spec.on:  # who names a machine wants no advice
        for word, asked in (("with", rule.programs), ("first", rule.labels)):
            if more := set(asked) - set(spec.needs):
                parts.append(f"{word}:" + "+".join(sorted(more)))
    return " ".join(parts) or ANY


def read_lane(lane: str) -> Lane:
    """What a lane asks for."""
    parts = {word: rest for word, _, rest in (part.partition(":") for part in lane.split())}
    needs, programs, labels = (
        tuple(parts[word].split("+")) if word in parts else () for word in ("needs", "with", "first")
    )
    return Lane(parts.get("on"), needs, Rule(programs, labels))


def requirement(lane: str) -> tuple[str | None, tuple[str, ...]]:
    """What a lane asks for in any case: a worker's name, and labels or capabilities."""
    asked = read_lane(lane)
    return asked.on, asked.needs


def why_not(worker: WorkerInfo, lane: str) -> str | None:
    """Why this worker may never run jobs of the lane, as the end of a sentence; None if it may, after rules."""
    on, needs = requirement(lane)
    if on is not None and on != worker.name:
        return f"is not {on}"
    return missing(worker, needs)


def eligible(worker: WorkerInfo, lane: str) -> bool:
    """Whether this worker may run jobs of the lane, after rules."""
    return why_not(worker, lane) is None


def rule_lacks(worker: WorkerInfo, lane: str) -> int:
    """What this worker lacks of a lane's rule: LACKS_PROGRAM and LACKS_LABEL added up, or 0."""
    rule = read_lane(lane).rule
    program = LACKS_PROGRAM if missing(worker, rule.programs) else 0
    return program + (LACKS_LABEL if missing(worker, rule.labels) else 0)


def goes_before(theirs: int, mine: int, recent: bool) -> bool:
    """Whether a worker that lacks `theirs` of a rule holds off one that lacks `mine`; `recent`: it was there lately."""
    if mine >= LACKS_PROGRAM and theirs < LACKS_PROGRAM:
        return True
    return mine % 2 == 1 and theirs == mine - LACKS_LABEL and recent


def held_off_by(worker: WorkerState, lane: str, workers: Iterable[WorkerState], now: float) -> list[WorkerState]:
    """The workers that a rule lets go before this one, which therefore may not take such jobs now."""
    mine = rule_lacks(worker.info, lane)
    others = (w for w in workers if mine and w.info.name != worker.info.name and eligible(w.info, lane))
    return [w for w in others if goes_before(rule_lacks(w.info, lane), mine, now - w.seen_at <= RECENT)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What one machine is to a job: it may run it, or why not, as the end of a sentence."""

    worker: WorkerState
    why_not: str | None = None
    by_rule: bool = False  #: only a rule keeps it from it, for now


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Which machines may run a job now, and why the others may not."""

    verdicts: tuple[Verdict, ...]
    dropped: tuple[str, ...] = ()  #: what the rule asks for and does not bind now

    @property
    def able(self) -> list[WorkerState]:
        """Machines that may run it, after rules; they may be away or busy."""
        return [verdict.worker for verdict in self.verdicts if verdict.why_not is None]


def place(lane: str, workers: Sequence[WorkerState], now: float) -> Placement:
    """Every machine's verdict on jobs of a lane; the store gives them to nobody else than `able`."""
    verdicts = tuple(_verdict(worker, lane, workers, now) for worker in workers)
    able = [verdict.worker for verdict in verdicts if verdict.why_not is None]
    rule = read_lane(lane).rule
    dropped = [word for word in (*rule.programs, *rule.labels) if not all(has(w.info, word) for w in able)]
    return Placement(verdicts=verdicts, dropped=tuple(dropped))


def _verdict(worker: WorkerState, lane: str, workers: Sequence[WorkerState], now: float) -> Verdict:
    if (reason := why_not(worker.info, lane)) is not None:
        return Verdict(worker=worker, why_not=reason)
    before = held_off_by(worker, lane, workers, now)
    if not before:
        return Verdict(worker=worker)
    rule = read_lane(lane).rule
    lacked = missing(worker.info, rule.programs) or missing(worker.info, rule.labels)
    names = listed(w.info.name for w in before)
    reason = f"{lacked}, which a rule asks for; {names} {'has' if len(before) == 1 else 'have'} it"
    return Verdict(worker=worker, why_not=reason, by_rule=True)


def turn(worker: WorkerInfo, lane: str, prefer: Sequence[str], free: int) -> tuple[int, int, int, str]:
    """The order in which idle workers are rung, lower first: wishes, light machines for light work, most free slots."""
    return -liked(worker, prefer), heaviness(worker, lane), -free, worker.name


def liked(worker: WorkerInfo, prefer: Sequence[str]) -> int:
    """How many of the wished-for words a worker is, or has."""
    return sum(1 for word in prefer if word == worker.name or word in worker.offers)


def heaviness(worker: WorkerInfo, lane: str) -> int:
    """1 of a heavy machine, −1 of a light one; 0 for all if a rule says where the jobs of this lane go."""
    return 0 if read_lane(lane).rule != Rule() else ("heavy" in worker.labels) - ("light" in worker.labels)


def in_turn(workers: Iterable[WorkerState], lane: str, prefer: Sequence[str]) -> list[WorkerState]:
    """Those of these workers that could start a job now, in the order in which they are rung."""
    free = (w for w in workers if w.online and not w.resting and w.running < w.info.slots)
    return sorted(free, key=lambda w: turn(w.info, lane, prefer, w.info.slots - w.running))


def refusal(workers: Sequence[WorkerInfo], lane: str) -> str:
    """The sentence for a job that no known worker may run."""
    on, needs = requirement(lane)
    named = next((w for w in workers if w.name == on), None)
    asked = listed(spoken(need) for need in needs) if needs else ""
    if not workers:
        what = f"is called {on}" if on else f"has {asked}"
        return f"no worker {what}: none has joined yet. Start one with: relayq worker"
    if on is not None and named is None:
        names = ", ".join(sorted(w.name for w in workers))
        return f'no worker is called "{on}"; there are: {names}'
    if named is not None:
        return f"{named.name} {why_not(named, lane)}. See: relayq workers"
    return f"no worker can run this job: it needs {asked}. See: relayq workers"


def check_names(spec: JobSpec) -> None:
    """Raise BadSpec if a name or label could not exist."""
    if spec.on is not None and not NAME.fullmatch(spec.on):
        raise BadSpec(f"{spec.on!r} cannot be a worker's name: use letters, digits, '.', '_' and '-'")
    for word in (*spec.needs, *spec.prefer):
        if (wrong := trouble(word)) is not None:
            raise BadSpec(f"{word!r} {wrong}")
    for word in spec.prefer:
        if ">=" in word:
            raise BadSpec(f"{word!r} cannot be preferred: prefer takes names, labels and capabilities. See needs")
