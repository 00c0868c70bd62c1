"""Where a job would run if it were submitted now: machine by machine, with reasons. Submits nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relayq import lifecycle, monitoring
from relayq.kinds.advice import advised
from relayq.model import JobSpec, WorkerState
from relayq.placement import in_turn, place, refusal, requirement


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """Where a job would go: one sentence, and one for each machine."""

    lane: str  #: what it asks for, and what a rule says
    sentence: str
    machines: Mapping[str, str]
    order: tuple[str, ...]  #: the machines that could start it now, in the order in which they would be rung
    refused: bool  #: no known machine could ever run it

    def __str__(self) -> str:
        named = [*self.order, *(name for name in self.machines if name not in self.order)]
        return "\n".join([self.sentence, *(f"  {self.machines[name]}" for name in named)])


def foresee(spec: JobSpec, lane: str, workers: Sequence[WorkerState], now: float) -> Forecast:
    """What would become of a job of this lane among these workers."""
    explained = monitoring.explain(lifecycle.submitted("it", spec, lane, now=now, place=now), workers, now)
    able = place(lane, workers, now).able
    refused = not able and requirement(lane) != (None, ())
    sentence = advised(refusal([w.info for w in workers], lane), spec) if refused else explained.sentence
    return Forecast(
        lane=lane,
        sentence=sentence.replace("it is about to", "it would", 1).replace("it waits", "it would wait", 1),
        machines=explained.machines,
        order=tuple(w.info.name for w in in_turn(able, lane, spec.prefer)),
        refused=refused,
    )
