"""Any command: a text for the shell, an exact argv, or a script."""

from __future__ import annotations

from relayq.kinds import Kind, Machine, Plan
from relayq.model import JobSpec


def plan(spec: JobSpec, machine: Machine) -> Plan:
    """A str is `/bin/sh -c`, a tuple the exact argv; a script is a file, run by its `#!` line or by `/bin/sh`."""
    if spec.script is not None:
        path = "{workspace}/script"
        argv = (path,) if spec.script.startswith("#!") else ("/bin/sh", path)
        return Plan(argv=argv, stdin=spec.stdin, files={"script": spec.script})
    if isinstance(spec.command, str):
        return Plan(argv=("/bin/sh", "-c", spec.command), stdin=spec.stdin)
    return Plan(argv=spec.command or (), stdin=spec.stdin)


def value(spec: JobSpec, last_words: str) -> None:
    """A command's value is its stdout."""


COMMAND = Kind(plan, value)
