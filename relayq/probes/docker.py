"""Docker: a client that reaches its daemon."""

from __future__ import annotations

from collections.abc import Iterator

from relayq.model import Capability
from relayq.probes.look import Look


def probe(look: Look) -> Iterator[Capability]:
    """`docker`, with the daemon's version."""
    if (program := look.which("docker")) is None:
        return
    said = look.run(program, "version", "--format", "{{.Server.Version}}")
    version = said.out.strip()
    if said.code == 0 and version:
        yield Capability(name="docker", version=version)
    else:
        yield Capability(name="docker", works=False, why_not=said.complaint)
