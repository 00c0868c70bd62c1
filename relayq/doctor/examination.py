"""All checks of this machine, at once and within a bounded time, in the order in which they are told."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from relayq.doctor import broker_machine, configuration, machine, network, pi, redis_facts, rivals, service, worker
from relayq.doctor.context import Context
from relayq.doctor.findings import Check, Finding

PATIENCE = 8.0  #: seconds for all of them together

#: Every check, by what it is about.
GROUPS: Mapping[str, tuple[Check, ...]] = {
    "This machine": (
        configuration.settings,
        configuration.secrets,
        configuration.python,
        machine.disk,
        machine.temperature,
        pi.power,
        pi.memory_groups,
        machine.sleep,
        rivals.managers,
        rivals.monitors,
    ),
    "The way to the broker": (network.connection, network.key, network.dns, network.broker, network.clock),
    "Broker": (
        redis_facts.version,
        redis_facts.persistence,
        redis_facts.eviction,
        redis_facts.memory,
        redis_facts.password,
        redis_facts.rights,
        broker_machine.binding,
        broker_machine.unit,
        broker_machine.server,
    ),
    "Worker": (worker.worker, worker.ring, worker.supervisor, service.service, worker.versions),
}


def examine(context: Context, patience: float = PATIENCE) -> dict[str, list[Finding]]:
    """What every check finds, by group. One that has not ended in time is a finding that says so."""
    found: dict[str, list[Finding]] = {}

    def run(one: Check) -> None:
        found[one.name] = one(context)

    # Daemons: one that hangs in the kernel (a dead network disk) must not keep us from ending.
    every = [one for checks in GROUPS.values() for one in checks]
    threads = [threading.Thread(target=run, args=(one,), name=one.name, daemon=True) for one in every]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + patience
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = f"this could not be looked at within {patience:g} s"
    return {
        group: [finding for one in checks for finding in found.get(one.name, [one.silent(late)])]
        for group, checks in GROUPS.items()
    }
