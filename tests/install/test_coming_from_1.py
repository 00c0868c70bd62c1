"""A machine on which relayq 1.x was the broker, an open Redis with two monitors that fight; and the way back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import wait_until

from .conftest import Boot
from .lab import Lab
from .node import Node
from .site import Site
from .test_broker import answers

MONITOR = """#!/bin/bash
# RelayQ: keep Redis alive
redis-cli ping | grep -q PONG || sudo systemctl restart redis-server
"""
SERVICE = """[Unit]
Description=RelayQ Redis health monitor
[Service]
Type=oneshot
ExecStart=/home/owner/relayq/monitor_redis.sh
"""
TIMER = "[Timer]\nOnCalendar=minutely\n[Install]\nWantedBy=timers.target\n"
CRON = "*/5 * * * * root /home/owner/relayq/redis_watchdog.sh # relayq: systemctl restart redis-server\n"
CONFIG = "broker:\n  host: {host}\n  port: 6379\n  db: 0\nworker:\n  name: rpi4-worker\n  priority: low\n"


def install_1(vm: Node) -> None:
    """As its scripts did."""
    vm.run("apt-get -qq update && apt-get -qq install --no-install-recommends -y redis-server redis-tools", timeout=300)
    vm.run(
        "sed -i 's/^bind .*/bind 0.0.0.0/; s/^protected-mode .*/protected-mode no/' /etc/redis/redis.conf;"
        "systemctl restart redis-server; redis-cli set old kept; redis-cli sadd _kombu.binding.celery celery"
    )
    vm.run("mkdir relayq; cat >relayq/monitor_redis.sh; chmod +x relayq/*.sh", user="owner", input=MONITOR)
    vm.run("cat >/etc/systemd/system/redis-monitor.service", input=SERVICE)
    vm.run("cat >/etc/systemd/system/redis-monitor.timer; systemctl enable --now redis-monitor.timer", input=TIMER)
    vm.run("mkdir -p /etc/cron.d; cat >/etc/cron.d/relayq", input=CRON)


@pytest.fixture(scope="class")
def site(lab: Lab, boot_for_class: Boot, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """That machine, and a Raspberry Pi that worked for it; it knows no tailnet."""
    vm, _ = boot_for_class("vm", "rpi")
    site = Site(lab, tmp_path_factory.mktemp("served"), wheel, vm)
    install_1(vm)
    return site


class TestComingFrom1:
    def test_what_1_left_is_named_and_nothing_is_changed_without_a_yes(self, site: Site) -> None:
        """Two who manage one Redis were what killed it."""
        done = site.install_broker(check=False)
        assert done.returncode != 0
        for name in ("redis-monitor.timer", "/etc/cron.d/relayq", "bind 0.0.0.0", "--yes"):
            assert name in done.stderr
        assert site.vm.run("systemctl is-active redis-monitor.timer redis-server").stdout == "active\nactive\n"
        assert answers(site.vm, "127.0.0.1", 6379) == "+PONG"

    def test_with_a_yes_it_is_retired_and_relayq_s_own_serves_there(self, site: Site, lab: Lab) -> None:
        """Closed to everybody without a password, and to other networks altogether."""
        site.install_broker("--yes")
        units = "redis-monitor.timer redis-server.service"
        assert "active\n" not in site.vm.run(f"systemctl is-active {units} || true").stdout.replace("inactive", "off")
        rpi = lab.nodes["rpi"]
        assert answers(rpi, site.vm.address, 6379).startswith("-NOAUTH")
        assert answers(rpi, site.vm.wan, 6379) == ""
        assert site.vm.run("grep -c '^[^#]' /etc/cron.d/relayq || true").stdout == "0\n"
        site.well(site.vm)

    def test_a_worker_of_1_run_bare_finds_its_broker_in_its_old_file(self, site: Site, lab: Lab) -> None:
        """It keeps its name, is let in by its owner, and keeps a copy of the file."""
        rpi = lab.nodes["rpi"]
        config = CONFIG.format(host=site.vm.address)
        rpi.run("mkdir .relayq; cat >.relayq/config.yml", user="owner", input=config)
        rpi.run(f"(curl -fsSL {site.url}/install-worker-rpi.sh | bash) >install.log 2>&1 &", user="owner")
        asking = "relayq token list --json"
        wait_until(lambda: '"code"' in site.run("sh", "-c", asking).stdout, 120, lambda: _log(rpi))
        [machine] = site.relayq("token", "list")["asking"]
        assert machine["name"] == "rpi4-worker"
        site.run("relayq", "token", "approve", machine["code"])
        site.online("rpi4-worker", 60)
        wait_until(lambda: "came back" in _log(rpi), 60, lambda: _log(rpi))
        assert rpi.run("cat .relayq/config.yml.before-relayq", user="owner").stdout == config
        assert site.run("relayq", "run", "--needs", "rpi", "--", "uname -n").stdout == "rpi\n"

    def test_the_way_back_brings_all_of_it_back(self, site: Site) -> None:
        """By two commands, the second of which the first run has shown."""
        site.vm.run("relayq setup broker --uninstall", user="owner", timeout=120)
        site.vm.run("sudo sh /var/lib/relayq/retired/bring-back.sh", user="owner", timeout=120)
        assert site.vm.run("systemctl is-active redis-monitor.timer redis-server").stdout == "active\nactive\n"
        assert site.vm.run("redis-cli get old").stdout == "kept\n"
        assert site.vm.run("cat /etc/cron.d/relayq").stdout == CRON


def _log(node: Node) -> str:
    return node.run("cat install.log", user="owner").stdout
