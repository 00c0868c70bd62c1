"""Nodes for tests: `boot` makes some that end with the test, `boot_for_class` some that end with its class.

A test that uses them is marked `nodes`. Where there can be none it is skipped with what to do about it; in CI that is
a failure: nobody reads what was skipped. The journals of all nodes are shown with a failure.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from . import wheels
from .bases import Arch, suite
from .lab import Lab, missing
from .node import Node

_LAB = pytest.StashKey[Lab]()
_PATIENCE = 900  #: seconds: the first test may have to build a base


class Boot(Protocol):
    """Makes nodes of these names, and boots them at the same time."""

    def __call__(self, *names: str, arch: Arch | None = None) -> list[Node]:
        """They are up when it returns."""


def need(lacking: str) -> None:
    """Skip if something is lacking (which is a failure in CI)."""
    if lacking:
        pytest.skip(lacking)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What uses a lab needs nodes, and time."""
    for item in items:
        if "lab" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.nodes)
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(_PATIENCE))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Add what the nodes have to say about a failure."""
    report = yield
    lab = item.session.stash.get(_LAB, None)
    if lab and report.failed:  # type: ignore[attr-defined]
        logs = [(f"journal of {node.name}", node.log()) for node in lab.nodes.values()]
        report.sections += logs  # type: ignore[attr-defined]
    return report


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The hub, and every node there is."""
    need(missing())
    with Lab() as lab:
        request.session.stash[_LAB] = lab
        yield lab
        del request.session.stash[_LAB]


@pytest.fixture
def boot(lab: Lab) -> Iterator[Boot]:
    """New nodes for this test."""
    yield from _booting(lab)


@pytest.fixture(scope="class")
def boot_for_class(lab: Lab) -> Iterator[Boot]:
    """New nodes for the tests of a class, which share them."""
    yield from _booting(lab)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this checkout."""
    return wheels.build(tmp_path_factory.mktemp("wheel"))


def _booting(lab: Lab) -> Iterator[Boot]:
    before = set(lab.nodes)

    def boot(*names: str, arch: Arch | None = None) -> list[Node]:
        need(missing(arch))
        return lab.boot(*names, suite=suite(), arch=arch)

    yield boot
    lab.close_nodes(*(node for name, node in lab.nodes.items() if name not in before))
