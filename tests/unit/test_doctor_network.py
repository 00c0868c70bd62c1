"""What the doctor says of the way to the broker."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from relayq.config import Settings
from relayq.doctor import network
from relayq.errors import BrokerRefused
from relayq.tailnet import Peer, Tailnet
from tests.unit.doctor import ABSENT, CONNECTED, WELL, Machine, machine_at


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return machine_at(tmp_path, monkeypatch)


VM = Peer(name="vm", dns_name="vm.tail1.ts.net", addresses=("100.64.0.11",), online=True, os="linux")
STOPPED = Tailnet(installed=True, state="Stopped", online=False, address="100.64.0.13", addresses=("100.64.0.13",))


def test_tailscale_is_a_problem_only_where_the_broker_needs_it(machine: Machine) -> None:
    """A broker on this machine or the local network is reached without."""
    machine.tailnet = STOPPED
    finding = machine.one(network.connection)
    assert (finding.level, finding.mend) == ("problem", "sudo tailscale up")
    machine.settings = replace(machine.settings, broker_url="redis://:x@127.0.0.1:6379/0")
    assert machine.one(network.connection).level == "ok"
    machine.is_broker()
    assert machine.one(network.connection).level == "problem"


def test_a_machine_that_is_connected_says_where(machine: Machine) -> None:
    """Its name and address in the tailnet."""
    assert machine.one(network.connection).sentence == "connected as vm, 100.64.0.11"


@pytest.mark.parametrize(("days", "level"), [(3, "warning"), (-1, "warning"), (100, "ok"), (None, "ok")])
def test_a_key_that_expires_soon_is_told(machine: Machine, days: float | None, level: str) -> None:
    """Half a year after joining, a machine would silently drop out of the tailnet."""
    at = None if days is None else time.time() + days * 86400
    machine.tailnet = replace(CONNECTED, key_expires_at=at)
    assert machine.one(network.key).level == level


def test_without_tailscale_there_is_no_key(machine: Machine) -> None:
    """A question that does not arise has no line."""
    machine.tailnet = ABSENT
    assert machine.ask(network.key) == []


def test_an_unknown_name_is_one_problem_and_not_two(machine: Machine) -> None:
    """That the broker does not answer then goes without saying."""
    machine.settings = Settings(home=machine.home, broker_url="redis://:x@vm:6379/0")
    machine.addresses = ()
    assert 'nobody here knows the name "vm"' in machine.one(network.dns).sentence
    assert machine.ask(network.broker) == []


def test_a_name_that_only_the_tailnet_knows_is_told_with_its_address(machine: Machine) -> None:
    """MagicDNS is switched off, or something has overwritten resolv.conf."""
    machine.settings = Settings(home=machine.home, broker_url="redis://:x@vm.tail1.ts.net:6379/0")
    machine.tailnet = replace(CONNECTED, peers=(VM,))
    machine.addresses = ()
    finding = machine.one(network.dns)
    assert "100.64.0.11" in finding.sentence
    assert "--accept-dns" in (finding.mend or "")


def test_an_address_needs_no_name(machine: Machine) -> None:
    """And "localhost" is known everywhere."""
    assert machine.ask(network.dns) == []
    machine.settings = Settings(home=machine.home, broker_url="redis://:x@localhost:6379/0")
    assert machine.one(network.dns).level == "ok"


def test_no_broker_is_a_problem_with_a_way_out(machine: Machine) -> None:
    """Unless the settings could not be read: then nobody knows."""
    machine.settings = Settings(home=machine.home)
    finding = machine.one(network.broker)
    assert (finding.level, finding.mend) == ("problem", "relayq up")
    context = machine.context()
    context.trouble = "config.yml is broken"
    assert network.broker(context) == []


def test_a_broker_that_is_away_is_a_problem_with_the_next_step(machine: Machine) -> None:
    """Which depends on whose it is: ours, this machine's, or another's."""
    machine.health = None
    finding = machine.one(network.broker)
    assert (finding.level, finding.mend) == ("problem", "tailscale ping 100.64.0.11")
    assert finding.sentence == "the broker at nas:6379 does not answer (Connection refused)"
    machine.settings = Settings(home=machine.home, broker_url="redis://:x@127.0.0.1:6379/0")
    assert machine.one(network.broker).mend == "sudo systemctl restart redis-server"
    (machine.home / "broker").mkdir()
    (machine.home / "broker" / "broker.conf").write_text("")
    assert machine.one(network.broker).mend == "relayq up"


def test_a_brokers_machine_that_is_off_is_told_from_a_broker_that_is_down(machine: Machine) -> None:
    """Tailscale knows whether the other machine is there at all."""
    machine.health = None
    machine.tailnet = replace(CONNECTED, peers=(replace(VM, online=False),))
    assert "vm, its machine, is not connected" in machine.one(network.broker).sentence


def test_a_broker_that_refuses_us_says_why(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong password, or another schema: asked of Redis and of the store."""

    def refuse(*_: object) -> None:
        raise BrokerRefused("the broker refuses the password")

    monkeypatch.setattr(machine, "_redis", refuse)
    assert machine.one(network.broker).sentence == "the broker refuses the password"


def test_the_round_trip_is_told_and_judged(machine: Machine) -> None:
    """20 to 60 ms are usual between home and a cloud."""
    assert machine.one(network.broker).sentence == "100.64.0.11:6379 answers in 21 ms"
    machine.health = replace(WELL, round_trip=0.4)
    assert machine.one(network.broker).level == "warning"


@pytest.mark.parametrize(
    ("ahead", "took", "level"), [(0.5, 0.02, "ok"), (-3.0, 0.02, "warning"), (90.0, 0.02, "warning"), (2.4, 1.0, "ok")]
)
def test_a_clock_that_goes_wrong_is_told_unless_the_answer_took_too_long_to_know(
    machine: Machine, ahead: float, took: float, level: str
) -> None:
    """Half a round trip is the doubt."""
    machine.health = replace(WELL, clock_ahead=ahead, round_trip=took)
    finding = machine.one(network.clock)
    assert finding.level == level
    if level == "warning":
        assert ("behind" in finding.sentence) == (ahead < 0)
        assert finding.mend == "sudo timedatectl set-ntp true"


def test_without_a_broker_there_is_no_clock_to_compare(machine: Machine) -> None:
    """The check "broker" alone says that it is away."""
    machine.health = None
    assert machine.ask(network.clock) == []
