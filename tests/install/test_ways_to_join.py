"""Workers that are not the usual ones: of the system, of root, and of a Redis that its owner runs himself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import wait_until

from .conftest import Boot
from .lab import Lab
from .node import Node
from .site import Site, main_pid, remains

UNIT = "relayq-worker.service"


@pytest.fixture(scope="class")
def site(lab: Lab, boot_for_class: Boot, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The broker and a fresh machine for each."""
    vm, *others = boot_for_class("vm", "nas", "bare", "alone")
    for node in others:
        node.install_tailscale()
    site = Site(lab, tmp_path_factory.mktemp("served"), wheel, vm)
    site.install_broker()
    return site


class TestWaysToJoin:
    def test_a_worker_of_the_system_runs_as_its_owner_from_boot_on(self, site: Site, lab: Lab) -> None:
        """Nobody need log in, and nobody lingers."""
        nas = lab.nodes["nas"]
        site.join(nas, site.token("--name", "nas"), "--system")
        assert nas.run(["systemctl", "is-enabled", UNIT]).stdout == "enabled\n"
        assert site.run("relayq", "run", "--on", "nas", "--", "id -un; pwd").stdout == "owner\n/home/owner\n"
        nas.reboot()
        site.online("nas", 60)
        assert nas.run("ls /var/lib/systemd/linger 2>/dev/null || true").stdout == ""
        nas.kill9(main_pid(nas, UNIT))
        assert site.run("relayq", "run", "--on", "nas", "--", "echo back").stdout == "back\n"
        site.well(nas)

    def test_it_is_the_same_service_when_it_is_installed_again(self, site: Site, lab: Lab) -> None:
        """Without --system, too: of the user's and the system's, one is enough."""
        nas = lab.nodes["nas"]
        before = main_pid(nas, UNIT)
        site.join(nas, f"curl -fsSL http://{site.vm.address}:7117/join | sh")
        assert main_pid(nas, UNIT) == before
        assert not (nas.root / "home/owner/.config/systemd/user/relayq-worker.service").exists()

    def test_uninstalling_it_leaves_nothing(self, site: Site, lab: Lab) -> None:
        """Through sudo, command by command."""
        nas = lab.nodes["nas"]
        site.run("relayq", "setup", "worker", "--uninstall", "--purge", "--yes", on=nas, timeout=120)
        assert remains(nas) == set()
        assert "nas" not in site.workers()

    def test_root_alone_on_a_server_gets_a_service_of_the_system(self, site: Site, lab: Lab) -> None:
        """There may be no other user."""
        bare: Node = lab.nodes["bare"]
        bare.run(site.token("--name", "bare"), timeout=300)
        assert bare.run(["systemctl", "is-active", UNIT]).stdout == "active\n"
        assert site.run("relayq", "run", "--on", "bare", "--", "id -un").stdout == "root\n"

    def test_the_broker_s_own_machine_joins_without_a_token(self, site: Site) -> None:
        """Who installs it there may let machines in. He goes on administering."""
        site.join(site.vm, "curl -fsSL http://127.0.0.1:7117/join | sh")
        assert site.run("relayq", "run", "--on", "vm", "--", "uname -n").stdout == "vm\n"
        assert site.token().startswith(f"curl -fsSL http://{site.vm.address}:7117/join")
        site.well(site.vm)
        unit = "/home/owner/.config/systemd/user/relayq-worker.service"
        assert site.vm.run(["systemd-analyze", "verify", "--user", unit], user="owner").stderr == ""

    def test_a_worker_of_a_redis_of_one_s_own_needs_no_token(self, site: Site, lab: Lab) -> None:
        """A config.yml with the broker's host, port and password, as it always was."""
        alone = lab.nodes["alone"]
        alone.run("apt-get -qq update && apt-get -qq install --no-install-recommends -y redis-server", timeout=300)
        alone.run("sed -i 's/^# requirepass .*/requirepass secret/' /etc/redis/redis.conf; systemctl restart redis")
        config = "broker: {host: 127.0.0.1, port: 6379, db: 0, password: secret}\nworker: {name: alone}\n"
        alone.run("mkdir .relayq; cat >.relayq/config.yml; chmod 600 .relayq/config.yml", user="owner", input=config)
        script = f"curl -fsSL {site.url}/install-worker.sh | RELAYQ_SPEC={site.wheel} bash"
        done = alone.run(script, user="owner", timeout=300)
        assert "a first job went to it and came back" in done.stderr
        assert site.run("relayq", "run", "--", "echo $((6 * 7))", on=alone).stdout == "42\n"
        wait_until(lambda: site.relayq("workers", on=alone)["alone"]["online"], 10)
