"""What the doctor says of the Redis that is the broker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relayq.config import Settings
from relayq.doctor import broker_machine, redis_facts
from relayq.doctor.findings import Check
from relayq.store.health import Binding, Rights
from tests.unit.doctor import ABSENT, CONNECTED, WELL, Machine, levels, machine_at


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return machine_at(tmp_path, monkeypatch)


EVERY = [
    redis_facts.version, redis_facts.persistence, redis_facts.eviction, redis_facts.memory, redis_facts.password,
    redis_facts.rights,
]  # fmt: skip
FREE = Rights(write=True, script=True, configure=True, tokens=True)


def test_a_healthy_redis_has_a_line_for_each_question(machine: Machine) -> None:
    """None of them asks for anything."""
    for check in EVERY:
        finding = machine.one(check)
        assert (finding.level, finding.mend) == ("ok", None), finding


def test_a_redis_that_is_away_has_none(machine: Machine) -> None:
    """One problem is said once, by the check "broker"."""
    machine.health = None
    assert [finding for check in EVERY for finding in machine.ask(check)] == []


@pytest.mark.parametrize(
    ("check", "changes", "level", "word"),
    [
        (redis_facts.version, {"version": "6.0.16"}, "problem", "6.0.16"),
        (redis_facts.persistence, {"append_only": False}, "problem", "append-only"),
        (redis_facts.persistence, {"append_trouble": "the last snapshot failed"}, "problem", "snapshot"),
        (redis_facts.persistence, {"rewrite_trouble": True}, "warning", "rewritten"),
        (redis_facts.eviction, {"eviction": "allkeys-lru"}, "problem", "allkeys-lru"),
        (redis_facts.memory, {"used_bytes": 480 << 20}, "problem", "480.0 MiB of 512.0 MiB"),
        (redis_facts.memory, {"used_bytes": 400 << 20}, "warning", "85%"),
        (redis_facts.memory, {"used_bytes": 3 << 30, "limit_bytes": 0}, "warning", "no limit"),
        (redis_facts.password, {"needs_password": False}, "problem", "no password"),
        (redis_facts.rights, {"refused_write": "MISCONF Redis is configured"}, "problem", "MISCONF"),
        (redis_facts.rights, {"replica": True}, "problem", "replica"),
        (redis_facts.rights, {"rights": replace(FREE, write=False)}, "problem", "worker-w"),
        (redis_facts.rights, {"rights": replace(FREE, script=False)}, "problem", "scripts"),
        (redis_facts.rights, {"rights": FREE}, "warning", "change Redis itself"),
        (redis_facts.rights, {"rights": replace(FREE, configure=False)}, "warning", "tokens"),
    ],
)
def test_what_is_wrong_with_redis_is_told(
    machine: Machine, check: Check, changes: dict[str, Any], level: str, word: str
) -> None:
    """Each with the fact itself in its sentence."""
    machine.health = replace(WELL, **changes)
    finding = machine.one(check)
    assert finding.level == level
    assert word in finding.sentence


def test_what_cannot_be_found_out_is_not_claimed(machine: Machine) -> None:
    """Whether a password is needed may stay unknown; a socket has none."""
    machine.health = replace(WELL, needs_password=None)
    assert machine.ask(redis_facts.password) == []
    machine.health = replace(WELL, needs_password=False)
    machine.settings = Settings(home=machine.home, broker_url="unix:///run/redis.sock")
    assert machine.ask(redis_facts.password) == []


def test_a_broker_of_ones_own_may_be_administered_from_where_it_is(machine: Machine) -> None:
    """`relayq up` has one user for everything, on this machine."""
    machine.settings = Settings(home=machine.home, broker_url="redis://:x@127.0.0.1:20000/0")
    machine.health = replace(WELL, rights=FREE)
    assert machine.one(redis_facts.rights).level == "ok"


def test_the_command_that_mends_redis_is_that_of_whoever_set_it_up(machine: Machine) -> None:
    """relayq's own broker, the one of `relayq up`, or somebody's Redis."""
    machine.health = replace(WELL, append_only=False)
    assert machine.one(redis_facts.persistence).mend == "relayq setup broker"  # its users are called so
    machine.settings = Settings(
        home=machine.home,
        broker_url="redis://:x@127.0.0.1:20000/0",
        sources={"broker_url": "the broker started by `relayq up` (x)"},
    )
    assert machine.one(redis_facts.persistence).mend == "relayq down && relayq up"
    machine.settings = Settings(home=machine.home, broker_url="redis://:x@nas:6380/0")
    assert machine.one(redis_facts.persistence).mend == "redis-cli -h nas -p 6380 CONFIG SET appendonly yes"


def bound_to(machine: Machine, *addresses: str) -> None:
    machine.is_broker()
    machine.health = replace(WELL, binding=Binding(addresses=addresses, protected=True))


def test_redis_listens_on_the_tailscale_address_and_nowhere_else(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it was set up, with the address this machine has now."""
    bound_to(machine, "127.0.0.1", "-::1", "100.64.0.11")
    asked: list[tuple[str, int]] = []
    monkeypatch.setattr(broker_machine, "listens", lambda *where: asked.append(where) or True)
    assert machine.one(broker_machine.binding).sentence == "100.64.0.11, port 6379"
    assert asked == [("100.64.0.11", 6379)]


@pytest.mark.parametrize(
    ("address", "level", "word"),
    [
        ("*", "problem", "every network"),
        ("0.0.0.0", "problem", "every network"),
        ("100.64.0.99", "problem", "no longer"),
        ("192.168.1.5", "warning", "192.168.1.5"),
    ],
)
def test_a_wrong_binding_is_told(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, address: str, level: str, word: str
) -> None:
    """Open to all, left over from before the machine joined the tailnet anew, or in the local network."""
    monkeypatch.setattr(broker_machine, "listens", lambda *_: True)
    bound_to(machine, "127.0.0.1", address)
    finding = machine.one(broker_machine.binding)
    assert (finding.level, finding.mend) == (level, "relayq setup broker")
    assert word in finding.sentence


def test_a_redis_that_does_not_listen_for_the_others_is_a_problem(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers here, on loopback, and looks healthy."""
    monkeypatch.setattr(broker_machine, "listens", lambda *_: False)
    bound_to(machine, "127.0.0.1")
    assert "does not listen on this machine's Tailscale address" in machine.one(broker_machine.binding).sentence


def test_binding_is_asked_only_of_a_broker_that_was_set_up(machine: Machine) -> None:
    """The one of `relayq up` is for this machine alone."""
    assert machine.ask(broker_machine.binding) == []
    machine.is_broker()
    machine.tailnet = ABSENT
    assert machine.ask(broker_machine.binding) == []


@pytest.mark.parametrize(
    ("enabled", "active", "expected"),
    [("enabled", "active", ["ok"]), ("disabled", "active", ["problem"]), ("enabled", "failed", ["problem"]),
     ("disabled", "inactive", ["problem", "problem"]), ("not-found", "inactive", [])],
)  # fmt: skip
def test_the_brokers_unit_runs_and_starts_at_boot(
    machine: Machine, enabled: str, active: str, expected: list[str]
) -> None:
    """systemd's own words."""
    machine.is_broker()
    machine.command("systemctl", f"case $1 in is-enabled) echo {enabled};; is-active) echo {active};; esac; exit 3")
    assert levels(machine.ask(broker_machine.unit)) == expected
    if expected:
        assert "systemctl is-enabled redis-server@relayq.service" in machine.calls()


def test_a_server_that_is_away_is_a_warning_because_jobs_go_on(machine: Machine) -> None:
    """On a worker; nobody asks where there is none."""
    assert machine.ask(broker_machine.server) == []
    machine.settings = replace(machine.settings, server_url="http://100.64.0.11:7117")
    assert machine.one(broker_machine.server).level == "warning"
    machine.serves = "2.0.0"
    assert machine.one(broker_machine.server).sentence == "http://100.64.0.11:7117 serves 2.0.0"


def test_a_server_on_loopback_alone_lets_nobody_join(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the broker's machine it must listen on the Tailscale address."""
    monkeypatch.setattr(broker_machine, "listens", lambda *_: False)
    machine.is_broker()
    machine.serves = "2.0.0"
    finding = machine.one(broker_machine.server)
    assert (finding.level, finding.mend) == ("problem", "relayq service restart server")
    assert CONNECTED.address is not None
    assert f"{CONNECTED.address}:7117" in finding.sentence
