"""What the testbed's networks promise: a tailnet, an ordinary network, faults, and the stand-in for tailscale."""

from __future__ import annotations

import json

import pytest

from tests.conftest import wait_until

from .conftest import Boot
from .node import Node


def reached(node: Node, address: str) -> int:
    """What curl exits with: 0, 7 if refused, 28 if nothing was heard."""
    return node.run(["curl", "-sS", "-m", "1.5", f"http://{address}:8080/"], check=False).returncode


def serve(node: Node, address: str, unit: str) -> None:
    """A server on one address of a node."""
    node.run(["systemd-run", f"--unit={unit}", "python3", "-m", "http.server", "8080", "--bind", address])
    wait_until(lambda: reached(node, address) == 0, 10, lambda: node.journal(unit))


@pytest.fixture(scope="class")
def two(boot_for_class: Boot) -> list[Node]:
    """Both on; the second serves on its tailnet address and on loopback."""
    nodes = boot_for_class("near", "far")
    serve(nodes[1], nodes[1].address, "tailnet")
    serve(nodes[1], "127.0.0.1", "loopback")
    return nodes


class TestTwoNodes:
    """They share two networks. Each test leaves them as they were."""

    def test_only_the_tailnet_address_answers(self, two: list[Node]) -> None:
        """What is bound to the tailnet and loopback is refused on the ordinary network."""
        near, far = two
        assert reached(near, far.address) == 0
        assert reached(near, far.wan) == 7
        assert reached(far, "127.0.0.1") == 0

    def test_a_cut_link_swallows_everything_and_says_nothing(self, two: list[Node]) -> None:
        """No refusal, no lost carrier, no way around: and it all comes back."""
        near, far = two
        far.cut()
        assert reached(near, far.address) == 28
        assert far.address in far.run("ip -4 -br address show tailscale0 up").stdout
        assert (
            near.run(["curl", "-sS", "-m", "5", "-o", "/dev/null", f"http://{far.wan}:8080"], check=False).returncode
            == 7
        )
        far.restore()
        assert reached(near, far.address) == 0

    def test_the_ordinary_network_can_be_cut_as_well(self, two: list[Node]) -> None:
        """And the tailnet does not notice."""
        near, far = two
        far.cut("eth0")
        assert reached(near, far.wan) == 28
        assert reached(near, far.address) == 0
        far.restore("eth0")
        assert reached(near, far.wan) == 7

    def test_without_an_address_there_is_no_way_around_through_the_other_network(self, two: list[Node]) -> None:
        """As when tailscaled is not up: the tailnet is not to be reached by the default route."""
        near, far = two
        near.take_address()
        assert reached(near, far.address) != 0
        near.give_address("100.99.1.2")
        assert reached(near, far.address) == 0
        near.give_address()
        assert near.address == near.port.tailnet

    def test_stand_in_for_tailscale_tells_of_itself_and_its_peers(self, two: list[Node]) -> None:
        """Addresses, state and who is online, as the real command puts it."""
        near, far = two
        near.install_tailscale()
        assert near.run("tailscale ip -4", user="owner").stdout == f"{near.address}\n"
        status = json.loads(near.run("tailscale status --json").stdout)
        assert (status["BackendState"], status["Self"]["TailscaleIPs"]) == ("Running", [near.address])
        (peer,) = status["Peer"].values()
        assert (peer["HostName"], peer["TailscaleIPs"], peer["Online"]) == ("far", [far.address], True)
        near.tailscale("NeedsLogin")
        far.take_address()
        status = json.loads(near.run("tailscale status --json").stdout)
        assert (status["BackendState"], status["Self"]["Online"], status["Peer"]) == ("NeedsLogin", False, None)
        logged_out = near.run("tailscale status", check=False)
        assert (logged_out.returncode, logged_out.stdout) == (1, "Logged out.\n")
        near.tailscale("down")
        assert "failed to connect to local tailscaled" in near.run("tailscale ip -4", check=False).stderr
        near.tailscale("Running")
        far.give_address()
        near.take_address()
        assert "no current Tailscale IPs; state: Running" in near.run("tailscale ip -4", check=False).stderr
        near.give_address()
        assert near.run(["tailscale", "ip", f"--assert={near.address}"]).returncode == 0
