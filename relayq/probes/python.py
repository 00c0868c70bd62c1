"""The Python that runs the worker."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from relayq.model import Capability
from relayq.probes.look import Look


def probe(look: Look) -> Iterator[Capability]:
    """`python`, with its version."""
    yield Capability(name="python", version=platform.python_version())
