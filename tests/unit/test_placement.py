"""Lanes and who may run them."""

from __future__ import annotations

import pytest

from relayq.model import JobSpec, WorkerInfo
from relayq.placement import eligible, lane_for, refusal, requirement, why_not


def worker(name: str, *labels: str) -> WorkerInfo:
    return WorkerInfo(name=name, identity=name, incarnation="i", slots=1, labels=labels)


def test_the_same_requirement_is_the_same_lane() -> None:
    """Whatever the order and repetition."""
    a = JobSpec(command="x", needs=("b", "a", "b"))
    assert lane_for(a) == lane_for(JobSpec(command="x", needs=("a", "b"))) == "needs:a+b"
    assert lane_for(JobSpec(command="x")) == "any"


@pytest.mark.parametrize("spec", [JobSpec(on="m"), JobSpec(needs=("a", "encoder:x")), JobSpec(on="m", needs=("a",))])
def test_a_lane_says_what_it_asks_for(spec: JobSpec) -> None:
    """Forth and back."""
    assert requirement(lane_for(spec)) == (spec.on, spec.needs)


def test_a_worker_needs_every_label() -> None:
    """And says which it lacks."""
    mac = worker("mac-mini", "mac", "heavy")
    assert eligible(mac, "any")
    assert eligible(mac, "on:mac-mini needs:heavy+mac")
    assert why_not(mac, "needs:heavy+rpi+x") == 'lacks "rpi" and "x"'
    assert why_not(mac, "on:rpi4") == "is not rpi4"


def test_refusals_name_what_there_is() -> None:
    """So that a typing error is seen at once."""
    workers = [worker("mac-mini", "mac"), worker("rpi4")]
    assert refusal(workers, "on:macmini").startswith('no worker is called "macmini"; there are: mac-mini, rpi4')
    assert refusal(workers, "needs:cuda").startswith('no worker can run this job: it needs "cuda"')
    assert refusal(workers, "on:rpi4 needs:cuda").startswith('rpi4 lacks "cuda"')
    assert "none has joined yet" in refusal([], "needs:cuda")
