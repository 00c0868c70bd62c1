"""Three nodes, joined by the lines that the broker prints: the tour of the README, and what can go wrong on the way."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.conftest import wait_until

from .conftest import Boot
from .lab import Lab
from .node import Node
from .site import Site, remains

UNIT = "relayq-worker.service"


@pytest.fixture(scope="class")
def site(lab: Lab, boot_for_class: Boot, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The broker and two fresh machines."""
    vm, *others = boot_for_class("vm", "mac-mini", "rpi")
    for node in others:
        node.install_tailscale()
    site = Site(lab, tmp_path_factory.mktemp("served"), wheel, vm)
    site.install_broker()
    return site


@pytest.fixture
def mac(lab: Lab) -> Node:
    """The stand-in for the Mac."""
    return lab.nodes["mac-mini"]


@pytest.fixture
def rpi(lab: Lab) -> Node:
    """The stand-in for the Raspberry Pi."""
    return lab.nodes["rpi"]


class TestThreeNodes:
    def test_one_pasted_line_joins_a_machine_and_proves_it(self, site: Site, rpi: Node) -> None:
        """Within a minute, with packages near; the last thing shown is the table of workers."""
        line = site.token("--name", "rpi", "--label", "rpi", "--label", "light")
        began = time.monotonic()
        done = site.join(rpi, line)
        assert time.monotonic() - began < 60
        print(f"joining took {time.monotonic() - began:.0f} s")  # noqa: T201 - shown with -s
        assert "rpi" in done.stdout + done.stderr
        assert site.workers()["rpi"]["labels"] == ["rpi", "light"]
        assert site.workers()["rpi"]["online"]

    def test_a_used_up_or_wrong_token_lets_nobody_in(self, site: Site, mac: Node) -> None:
        """With the sentence that says what to do."""
        used, wrong = site.lines[0], site.token("--name", "spare").replace("RELAYQ_TOKEN=", "RELAYQ_TOKEN=x")
        for line in (used, wrong):
            done = site.join(mac, line, check=False)
            assert done.returncode != 0
            assert "unknown, used up or too old" in done.stderr
            assert "relayq token new" in done.stderr
        assert set(site.workers()) == {"rpi"}

    def test_a_taken_name_is_refused(self, site: Site, mac: Node) -> None:
        """Two machines must not be one."""
        done = site.join(mac, site.token(), "--name", "rpi", check=False)
        assert done.returncode != 0
        assert "another machine has joined as rpi" in done.stderr

    def test_the_second_machine_joins_under_a_name_of_its_own(self, site: Site, mac: Node) -> None:
        """As the Mac would."""
        site.join(mac, site.token("--name", "mac-mini", "--label", "mac", "--label", "heavy"), "--slots", "2")
        assert {name for name, worker in site.workers().items() if worker["online"]} == {"rpi", "mac-mini"}

    def test_the_token_is_in_no_file_and_no_process(self, site: Site, rpi: Node) -> None:
        """Only in the line that was pasted."""
        token = site.token("--name", "rpi").split("RELAYQ_TOKEN=")[1].split()[0]
        site.join(rpi, f"curl -fsSL http://{site.vm.address}:7117/join | RELAYQ_TOKEN={token} sh")
        assert rpi.run(f"grep -rslF -e '{token}' /etc /home /var/lib /root /tmp || true").stdout == ""
        assert rpi.run(f"journalctl -o cat | grep -cF -e '{token}' || true").stdout == "0\n"

    def test_jobs_go_where_they_belong(self, site: Site) -> None:
        """By label, and over all."""
        assert site.run("relayq", "run", "--needs", "rpi", "--", "uname -n").stdout == "rpi\n"
        assert site.run("relayq", "run", "--needs", "mac", "--", "uname -n").stdout == "mac-mini\n"
        hosts = site.run(
            "sh", "-c", "relayq map --wait 'sleep 0.5; uname -n #{}' -- 1 2 3 4 5 6 7 8 >/dev/null; relayq list --json"
        ).stdout
        assert '"worker": "rpi"' in hosts
        assert '"worker": "mac-mini"' in hosts

    def test_a_killed_worker_is_back_and_its_job_did_not_notice(self, site: Site, rpi: Node) -> None:
        """Its service manager starts it; the supervisor kept the job."""
        id = site.run("relayq", "submit", "--on", "rpi", "--", "sleep 12; echo done").stdout.strip()
        wait_until(lambda: site.relayq("show", id)["state"] == "running", 15)
        rpi.kill9(int(rpi.run(["pgrep", "-o", "-f", "celery.*relayq"]).stdout))
        assert site.run("relayq", "wait", id, timeout=60).returncode == 0
        assert len(site.relayq("show", id)["attempts"]) == 1

    def test_a_restart_of_the_service_ends_no_job(self, site: Site, rpi: Node) -> None:
        """Nor does an upgrade, which does the same."""
        id = site.run("relayq", "submit", "--on", "rpi", "--", "sleep 10; echo done").stdout.strip()
        wait_until(lambda: site.relayq("show", id)["state"] == "running", 15)
        site.run("relayq", "service", "restart", on=rpi)
        assert site.run("relayq", "wait", id, timeout=60).returncode == 0
        assert len(site.relayq("show", id)["attempts"]) == 1

    def test_installing_again_restarts_nothing(self, site: Site, rpi: Node) -> None:
        """Nothing changed."""
        pid = rpi.run(["pgrep", "-o", "-f", "celery.*relayq"]).stdout
        done = rpi.run(f"curl -fsSL http://{site.vm.address}:7117/join | sh", user="owner", timeout=300)
        assert rpi.run(["pgrep", "-o", "-f", "celery.*relayq"]).stdout == pid, done.stderr

    def test_a_cut_link_is_noticed_and_got_over(self, site: Site, rpi: Node) -> None:
        """The job of a machine that was away for a while goes on there."""
        rpi.cut()
        wait_until(lambda: not site.workers()["rpi"]["online"], 30)
        rpi.restore()
        site.online("rpi")
        assert site.run("relayq", "run", "--on", "rpi", "--", "echo back").stdout == "back\n"

    def test_the_jobs_of_a_machine_without_power_go_to_another(self, site: Site, rpi: Node) -> None:
        """And the machine is back by itself when it is."""
        id = site.run("relayq", "submit", "--prefer", "rpi", "--", "sleep 20; uname -n").stdout.strip()
        wait_until(lambda: site.relayq("show", id)["worker"] == "rpi", 15, lambda: site.relayq("show", id))
        rpi.lose_power()
        wait_until(lambda: site.relayq("show", id)["worker"] == "mac-mini", 30, lambda: site.relayq("show", id))
        rpi.boot()
        site.online("rpi")
        assert site.run("relayq", "wait", id, timeout=60).returncode == 0

    def test_a_code_lets_a_machine_in_that_has_no_token(self, site: Site, rpi: Node) -> None:
        """It finds the broker in the tailnet, and shows six letters for its owner to approve."""
        site.run("sh", "-lc", "relayq setup worker --uninstall --purge --yes", on=rpi, timeout=120)
        site.run("relayq", "worker", "remove", "rpi", check=False)
        done = rpi.run(
            f"curl -fsSL {site.url}/install-worker-rpi.sh | sh >install.log 2>&1 & echo started", user="owner"
        )
        assert "started" in done.stdout
        wait_until(
            lambda: site.relayq("token", "list")["asking"], 120, lambda: rpi.run("cat ~owner/install.log").stdout
        )
        [asking] = site.relayq("token", "list")["asking"]
        assert asking["code"] in rpi.run("cat ~owner/install.log").stdout
        site.run("relayq", "token", "approve", asking["code"])
        site.online("rpi", 60)

    def test_a_broken_worker_is_mended_while_its_broker_is_away(self, site: Site, rpi: Node) -> None:
        """All but the proof, which is what its exit code says; and it is back by itself when the broker is."""
        site.vm.cut()
        rpi.run("rm .local/share/relayq/current/bin/relayq .config/systemd/user/relayq-worker.service", user="owner")
        script = f"curl -fsSL {site.url}/install-worker-rpi.sh | bash"
        done = rpi.run(script, user="owner", check=False, timeout=300)
        assert done.returncode == 4, done.stderr
        assert "mending what is here" in done.stderr
        assert "is in order on this machine (running)" in done.stderr
        site.vm.restore()
        site.online("rpi")
        assert site.run("relayq", "run", "--on", "rpi", "--", "echo mended").stdout == "mended\n"

    def test_the_doctor_finds_all_machines_well(self, site: Site, mac: Node, rpi: Node) -> None:
        """After all that has been done to them."""
        site.well(site.vm, mac, rpi)

    def test_removing_a_worker_takes_its_access_away(self, site: Site, rpi: Node) -> None:
        """At once."""
        site.run("relayq", "worker", "remove", "rpi", check=False)
        wait_until(lambda: "refuses the password" in site.run("relayq", "list", on=rpi, check=False).stderr, 20)

    def test_uninstalling_a_worker_leaves_nothing(self, site: Site, mac: Node) -> None:
        """But what the system's own tools keep."""
        site.run("relayq", "setup", "worker", "--uninstall", "--purge", "--yes", on=mac, timeout=120)
        assert remains(mac) == set()
        assert mac.run("pgrep -f '[r]elayq' || true").stdout == ""
