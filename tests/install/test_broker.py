"""install-broker.sh on a fresh Debian, by a user with sudo, from a pipe."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.conftest import wait_until

from .conftest import Boot
from .lab import Lab
from .node import Node
from .site import Site, main_pid, remains

UNITS = ("redis-server@relayq.service", "relayq-server.service")


@pytest.fixture(scope="class")
def site(lab: Lab, boot_for_class: Boot, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A broker, and another machine of the tailnet."""
    vm, _ = boot_for_class("vm", "other")
    site = Site(lab, tmp_path_factory.mktemp("served"), wheel, vm)
    began = time.monotonic()
    site.install_broker()
    print(f"the broker took {time.monotonic() - began:.0f} s")  # noqa: T201 - shown with a failure, or with -s
    return site


@pytest.fixture
def other(lab: Lab) -> Node:
    """A machine that has not joined."""
    return lab.nodes["other"]


def answers(node: Node, host: str, port: int, words: str = "PING") -> str:
    """What a Redis says to an inline command; "" if nobody answers."""
    script = f"exec 3<>/dev/tcp/{host}/{port} && printf '{words}\\r\\n' >&3 && head -n1 <&3"
    return node.run(["timeout", "5", "bash", "-c", script], check=False).stdout.strip()


class TestABroker:
    def test_it_serves_and_starts_at_boot(self, site: Site) -> None:
        """Redis and the server, by systemd alone."""
        for unit in UNITS:
            assert site.vm.run(["systemctl", "is-active", unit]).stdout.strip() == "active"
            assert site.vm.run(["systemctl", "is-enabled", unit]).stdout.strip() == "enabled"
        assert site.relayq("status")["jobs"]["queued"] == 0
        site.vm.run("/opt/relayq/current/bin/python -c 'import textual'", user="owner")  # relayq top, out of the box

    def test_nobody_is_heard_without_a_password_and_nobody_at_all_from_the_internet(
        self, site: Site, other: Node
    ) -> None:
        """Bound to loopback and the Tailscale address only."""
        assert answers(other, site.vm.address, 6379).startswith("-NOAUTH")
        assert answers(other, site.vm.wan, 6379) == ""
        assert answers(other, site.vm.wan, 7117, "GET /echo HTTP/1.0\\r\\n") == ""
        assert answers(other, site.vm.address, 7117, "GET /echo HTTP/1.0\\r\\n") == "HTTP/1.1 200 OK"

    def test_no_secret_is_readable_by_others_or_in_a_command_line(self, site: Site) -> None:
        """Passwords stand in files of their owners only."""
        config = json.loads(site.run("sh", "-c", "relayq config show broker.admin_url --secrets --json").stdout)
        password = str(config).split("admin:")[1].split("@")[0]
        found = site.vm.run(
            f"grep -rslF '{password}' /etc /var/lib /opt /home /root /usr/local /var/log || true"
        ).stdout.split()
        for file in found:
            mode = site.vm.run(["stat", "-c", "%a", file]).stdout.strip()
            assert mode[-1] == "0", f"{file} has mode {mode}"
        assert (
            site.vm.run(f"cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -cF '{password}' || true").stdout.strip()
            in "01"
        )

    def test_a_second_run_changes_and_restarts_nothing(self, site: Site) -> None:
        """It is also how a broken one is repaired."""
        before, files = [main_pid(site.vm, unit) for unit in UNITS], site.vm.changes()
        site.install_broker()
        assert [main_pid(site.vm, unit) for unit in UNITS] == before
        assert {f for f in site.vm.changes() ^ files if "/var/lib/redis" not in f and "__pycache__" not in f} == set()

    def test_killed_twenty_times_it_is_back_within_five_seconds_and_has_lost_nothing(self, site: Site) -> None:
        """kill -9, with jobs in it."""
        ids = [site.run("relayq", "submit", "--queue-anyway", "--", f"echo {n}").stdout.strip() for n in range(3)]
        time.sleep(1.1)  # what is younger than a second may be lost with a power cut: that is promised
        for _ in range(20):
            old = main_pid(site.vm, UNITS[0])
            site.vm.kill9(old)
            began = time.monotonic()
            wait_until(
                lambda old=old: (
                    main_pid(site.vm, UNITS[0]) not in (0, old)
                    and site.run("relayq", "status", check=False).returncode == 0
                ),
                5,
                lambda: site.vm.journal(UNITS[0])[-3000:],
            )
            assert time.monotonic() - began < 5
        assert {job["id"] for job in site.relayq("list")} >= set(ids)

    def test_it_is_back_after_a_reboot_also_when_the_tailscale_address_comes_late(
        self, site: Site, other: Node
    ) -> None:
        """It serves this machine at once, and the others as soon as there is the address; also another one."""
        site.vm.halt()
        site.vm.take_address()
        site.vm.boot()
        wait_until(lambda: site.run("relayq", "status", check=False).returncode == 0, 20)
        site.vm.give_address()
        wait_until(lambda: answers(other, site.vm.address, 6379).startswith("-NOAUTH"), 20)
        site.vm.give_address("100.64.7.7")
        wait_until(lambda: answers(other, "100.64.7.7", 6379).startswith("-NOAUTH"), 20)
        wait_until(lambda: answers(other, "100.64.7.7", 7117, "GET /echo HTTP/1.0\\r\\n") == "HTTP/1.1 200 OK", 20)
        site.vm.give_address()

    def test_the_doctor_finds_it_well(self, site: Site) -> None:
        """No problem on a broker that was just installed."""
        site.well(site.vm)

    def test_uninstalling_leaves_only_what_was_to_be_kept_and_purging_nothing(self, site: Site) -> None:
        """The overlay's upper layer is the difference."""
        site.vm.run("sudo relayq setup broker --uninstall --purge --yes", user="owner", timeout=300)
        assert remains(site.vm) == set()


class TestABrokerWithoutARedisOfTheDistribution:
    """As on Ubuntu 22.04, whose Redis is too old: here, apt is told to have none."""

    def test_who_has_the_port_is_said_by_name_before_anything_is_changed(self, alone: Site) -> None:
        """Somebody's Redis, or whatever it is, stays as it is."""
        alone.vm.run("systemd-run --unit=squatter python3 -m http.server 6379")
        wait_until(lambda: answers(alone.vm, "127.0.0.1", 6379, "GET / HTTP/1.0\\r\\n") != "", 10)
        done = alone.install_broker(check=False)
        assert done.returncode != 0
        assert "port 6379 is used by python3 (squatter.service" in done.stderr
        assert "nothing has been changed" in done.stderr
        assert not (alone.vm.root / "var/lib/relayq").exists()
        alone.vm.run("systemctl stop squatter")

    def test_it_brings_its_own_under_a_unit_of_its_own(self, alone: Site) -> None:
        """The same in all else: at boot, after a kill, and closed."""
        alone.install_broker()
        unit = "relayq-redis.service"
        assert "valkey" in alone.vm.run(["systemctl", "show", "-P", "ExecStart", unit]).stdout
        ids = alone.run("relayq", "submit", "--queue-anyway", "--", "true").stdout.split()
        for again in (lambda: alone.vm.kill9(main_pid(alone.vm, unit)), alone.vm.reboot):
            time.sleep(1.1)  # what is younger than a second may be lost with a power cut: that is promised
            again()
            wait_until(lambda: alone.run("relayq", "status", check=False).returncode == 0, 20)
            assert [job["id"] for job in alone.relayq("list")] == ids
        assert answers(alone.vm, alone.vm.address, 6379).startswith("-NOAUTH")
        assert answers(alone.vm, alone.vm.wan, 6379) == ""
        alone.well(alone.vm)

    def test_its_units_are_as_systemd_wants_them(self, alone: Site) -> None:
        """Where they are used; Redis' and the server's are confined, too."""
        units = ["relayq-redis.service", "relayq-server.service"]
        assert "relayq" not in alone.vm.run(["systemd-analyze", "verify", *units]).stderr
        for unit in units:
            alone.vm.run(["systemd-analyze", "security", "--threshold=30", unit])

    def test_it_goes_without_a_trace(self, alone: Site) -> None:
        """Of files; and no process of it is left."""
        alone.vm.run("relayq setup broker --uninstall --purge", user="owner", timeout=120)
        assert remains(alone.vm) == {"/etc/apt/preferences.d/none"}
        assert alone.vm.run("pgrep -fa '[v]alkey|[r]elayq' || true").stdout == ""


@pytest.fixture(scope="class")
def alone(lab: Lab, boot_for_class: Boot, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A machine to be a broker, for whose Redis apt has no candidate."""
    (vm,) = boot_for_class("vm")
    pin = "Package: redis-server\nPin: release *\nPin-Priority: -1\n"
    vm.run("cat >/etc/apt/preferences.d/none", input=pin)
    return Site(lab, tmp_path_factory.mktemp("served"), wheel, vm)
