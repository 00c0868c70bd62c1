"""A short run of chaos; a long one is `make chaos N=1000`."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import chaos
from .schedule import schedule


def test_the_same_seed_is_the_same_schedule() -> None:
    """What went wrong once can be looked at again."""
    assert schedule(7, 50, True) == schedule(7, 50, True)
    assert schedule(7, 50, True) != schedule(8, 50, True)
    assert all(fault.kind != "link cut" for fault in schedule(7, 50, False))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("links_can_be_cut")
def test_a_hundred_random_faults_lose_nothing_and_do_nothing_twice(tmp_path: Path) -> None:
    """Nothing lost, no second end, no two attempts at once, and every process accounted for."""
    report = chaos.run(tmp_path, seed=3, faults=100, lease_floor=2.0)
    print(report)  # noqa: T201 - pytest shows it
    assert report.good, str(report)
    assert report.faults.total() == 100
    assert report.attempts.total() > 100
