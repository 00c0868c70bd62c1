"""Fleets for fault tests. Nodes are real processes; as root each has a network of its own, so that links can be cut."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from . import links
from .fleet import LEASE_FLOOR, Fleet


def need(there: object, what: str) -> None:
    """Skip (which is a failure in CI), and say how to get what is missing."""
    if not there:
        pytest.skip(what)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Remember whether the test itself failed: then only its own words count."""
    report = yield
    if call.when == "call":
        item.stash[_FAILED] = report.failed  # type: ignore[attr-defined]
    return report


_FAILED = pytest.StashKey[bool]()


@pytest.fixture
def fleet(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """A broker, and nodes as the test starts them. What must always hold is checked at the end.

    Indirect parameter: the lease floor in seconds.
    """
    with Fleet(tmp_path, lease_floor=getattr(request, "param", LEASE_FLOOR)) as fleet:
        yield from checked(fleet, request)


def checked(fleet: Fleet, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """The fleet for a test; afterwards what must always hold. The logs are shown with a failure."""
    yield fleet
    failed = request.node.stash.get(_FAILED, False)
    wrong = fleet.died() if failed else fleet.check()
    if wrong or failed:
        print(fleet.logs())  # noqa: T201 - pytest shows it
    if wrong:
        pytest.fail("\n".join(wrong))


@pytest.fixture
def links_can_be_cut() -> None:
    """For tests that cut links."""
    need(links.can_cut(), links.WITHOUT)
