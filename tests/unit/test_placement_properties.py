"""Placement, for generated machines and requirements: what must hold whatever they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from relayq.forecast import foresee
from relayq.model import Capability, JobSpec, WorkerInfo, WorkerState
from relayq.placement import RECENT, Rule, eligible, held_off_by, lane_for, place, rule_lacks, why_not
from relayq.requirements import has

NOW = 1_800_000_000.0
LABELS = ("heavy", "light", "mac", "rpi")
PROGRAMS = ("ffmpeg", "blender", "encoder:libx264")
WORDS = (*LABELS, *PROGRAMS, "memory>=4G", "cores>=4", "ffmpeg>=6")

capabilities = st.builds(
    lambda name, version, works: Capability(name=name, version=version, works=works),
    st.sampled_from(PROGRAMS),
    st.sampled_from([None, "5.1", "6.0", "7"]),
    st.booleans(),
)


@st.composite
def machines(draw: Any, name: str) -> WorkerInfo:
    found = tuple({each.name: each for each in draw(st.lists(capabilities, max_size=3))}.values())
    return WorkerInfo(
        name=name,
        identity=name,
        incarnation="i",
        slots=draw(st.integers(1, 3)),
        labels=tuple(sorted(draw(st.sets(st.sampled_from(LABELS), max_size=3)))),
        capabilities=tuple(each.name for each in found if each.works),
        found=found,
        facts={"memory": draw(st.integers(0, 8)) << 30, "cores": draw(st.integers(1, 8))},
    )


@st.composite
def fleets(draw: Any) -> list[WorkerState]:
    names = [f"m{n}" for n in range(draw(st.integers(0, 4)))]
    return [
        WorkerState(
            info=draw(machines(name)),
            online=draw(st.booleans()),
            seen_at=NOW - draw(st.sampled_from([0.0, 4.0, RECENT, RECENT + 1, 86400.0])),
            running=draw(st.integers(0, 3)),
        )
        for name in names
    ]


specs = st.builds(
    JobSpec,
    command=st.just("x"),
    on=st.sampled_from([None, None, "m0", "m1"]),
    needs=st.lists(st.sampled_from(WORDS), max_size=2).map(tuple),
)
rules = st.none() | st.builds(
    Rule,
    st.lists(st.sampled_from(PROGRAMS), max_size=2).map(tuple),
    st.lists(st.sampled_from(LABELS), max_size=2).map(tuple),
)


@given(fleets(), specs, rules)
def test_no_machine_is_able_that_is_not_eligible(fleet: list[WorkerState], spec: JobSpec, rule: Rule | None) -> None:
    """Able machines are the one that was named, and have all that was needed; every other one has its reason."""
    placed = place(lane_for(spec, rule), fleet, NOW)
    assert [verdict.worker for verdict in placed.verdicts] == fleet
    for verdict in placed.verdicts:
        info = verdict.worker.info
        meets = spec.on in (None, info.name) and all(has(info, word) for word in spec.needs)
        assert meets == eligible(info, lane_for(spec))
        assert meets or (verdict.why_not and not verdict.by_rule)
        assert meets or verdict.worker not in placed.able
        assert (verdict.why_not is None) == (verdict.worker in placed.able)


@given(fleets(), specs, rules)
def test_a_rule_never_leaves_a_job_without_a_machine(
    fleet: list[WorkerState], spec: JobSpec, rule: Rule | None
) -> None:
    """It says who goes first among those that may: nothing is refused, and nothing starves, because of it."""
    without, with_rule = (place(lane_for(spec, each), fleet, NOW).able for each in (None, rule))
    assert bool(with_rule) == bool(without)
    assert all(worker in without for worker in with_rule)
    if spec.on is not None:
        assert with_rule == without


@given(fleets(), specs, rules)
def test_a_label_binds_only_while_a_machine_that_has_it_was_there_lately(
    fleet: list[WorkerState], spec: JobSpec, rule: Rule | None
) -> None:
    """Ten minutes, busy or not; a program while a known machine has it."""
    lane = lane_for(spec, rule)
    for worker in fleet:
        for first in held_off_by(worker, lane, fleet, NOW):
            program = rule_lacks(worker.info, lane) >= 2 > rule_lacks(first.info, lane)
            assert program or NOW - first.seen_at <= RECENT
            assert eligible(first.info, lane)
    long_ago = [replace(worker, seen_at=NOW - RECENT - 1) for worker in fleet]
    labels_only = lane_for(spec, Rule((), rule.labels if rule else ()))
    assert place(labels_only, long_ago, NOW).able == place(lane_for(spec), long_ago, NOW).able


@given(machines("m0"), specs, st.sampled_from(PROGRAMS), st.sampled_from(LABELS), st.integers(0, 8))
def test_more_capabilities_never_make_a_machine_less_eligible(
    info: WorkerInfo, spec: JobSpec, program: str, label: str, gib: int
) -> None:
    """Neither something installed, nor a label, nor more memory and cores; nor does it lack more of a rule."""
    lane = lane_for(spec, Rule(("ffmpeg",), ("heavy",)))
    more = [
        replace(
            info,
            capabilities=(*info.capabilities, program),
            found=(*(each for each in info.found if each.name != program), Capability(name=program, version="9")),
        ),
        replace(info, labels=(*info.labels, label)),
        replace(
            info, facts={"memory": int(info.facts["memory"]) + (gib << 30), "cores": int(info.facts["cores"]) + gib}
        ),
    ]
    for better in more:
        assert eligible(better, lane) or not eligible(info, lane)
        mine, theirs = rule_lacks(info, lane), rule_lacks(better, lane)
        assert (theirs & 1, theirs & 2) <= (mine & 1, mine & 2) or theirs & mine == theirs


@given(fleets(), specs, rules)
@settings(max_examples=50)
def test_every_machine_has_a_sentence_of_its_own(fleet: list[WorkerState], spec: JobSpec, rule: Rule | None) -> None:
    """Which begins with its name; and only a machine that may run it comes first."""
    lane = lane_for(spec, rule)
    forecast = foresee(spec, lane, fleet, NOW)
    assert list(forecast.machines) == [worker.info.name for worker in fleet]
    for name, sentence in forecast.machines.items():
        assert sentence.startswith(f"{name} ")
    states = {worker.info.name: worker for worker in fleet}
    for name in forecast.order:
        assert why_not(states[name].info, lane) is None
        assert states[name].online
        assert states[name].running < states[name].info.slots
    assert forecast.refused == (not any(eligible(w.info, lane) for w in fleet) and lane_for(spec) != "any")
    assert (forecast.order == ()) or f"would start on {forecast.order[0]}" in forecast.sentence
