"""What the testbed promises to the tests of the installers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import wait_until

from . import groups, runs
from .bases import suite
from .commands import CommandError
from .conftest import Boot
from .lab import Lab
from .wheels import ROOT


def test_three_nodes_boot_at_the_same_time(boot: Boot) -> None:
    """Each is a whole system, with nothing failed, and sees none of the others' processes."""
    nodes = boot("a", "b", "c")
    for node in nodes:
        told = node.run("systemctl is-system-running; . /etc/os-release; echo $VERSION_CODENAME").stdout
        assert told == f"running\n{suite()}\n"
        assert node.run("cat /proc/1/comm; hostname").stdout == f"systemd\n{node.name}\n"
        assert len(node.run("pgrep -x systemd-journal").stdout.split()) == 1
        assert node.changes() == set()


@pytest.mark.emulated
def test_emulated_raspberry_boots(boot: Boot) -> None:
    """Programs for another processor run, as systemd does."""
    (node,) = boot("pi", arch="arm64")
    assert node.run("uname -m; systemctl is-system-running").stdout == "aarch64\nrunning\n"
    assert node.run("sudo id -u", user="owner").stdout == "0\n"


UNIT = """
[Service]
ExecStart=sleep infinity
ExecStop=touch /root/stopped
Restart=always
RestartSec=0.1
[Install]
WantedBy=multi-user.target
"""


def test_reboot_stops_services_and_keeps_files_and_lost_power_does_not_stop_them(boot: Boot) -> None:
    """A shutdown is an orderly one; when the power goes nobody is asked. An enabled service comes back both times."""
    (node,) = boot("a")
    node.run("cat >/etc/systemd/system/kept.service; systemctl enable --now kept", input=UNIT)
    node.reboot()
    assert node.run("systemctl is-active kept; ls /root").stdout == "active\nstopped\n"
    node.run("rm stopped")
    node.lose_power()
    assert "Started kept.service" in node.journal("kept")
    node.boot()
    assert node.run("systemctl is-active kept; ls /root").stdout == "active\n"
    assert len(node.run("journalctl --list-boots --quiet").stdout.splitlines()) == 3


def test_killed_service_is_started_again(boot: Boot) -> None:
    """By the systemd inside, which says so in its journal."""
    (node,) = boot("a")
    node.run("cat >/etc/systemd/system/kept.service; systemctl start kept", input=UNIT)
    pid = node.run("systemctl show -P MainPID kept").stdout
    node.kill9(int(pid))
    wait_until(lambda: node.run("systemctl show -P NRestarts kept").stdout == "1\n", 10, node.log)
    assert "status=9/KILL" in node.journal("kept")


def test_packages_are_installed_as_at_home(boot: Boot) -> None:
    """By the owner with sudo, from the archive and the index, with no option and no variable set for it."""
    (node,) = boot("a")
    assert node.run("python3 -m venv env", user="owner", check=False).returncode == 1
    node.run("sudo apt-get update", user="owner")
    node.run("sudo apt-get install --yes --no-install-recommends python3-venv", user="owner")
    node.run("python3 -m venv env && env/bin/pip install click", user="owner")
    assert "click" in node.run("env/bin/pip list", user="owner").stdout


def test_wheel_is_served_and_installed(boot: Boot, lab: Lab, wheel: Path) -> None:
    """What the hub serves a node can fetch; the wheel of this checkout runs there."""
    (node,) = boot("a")
    url = f"{lab.hub.serve(wheel.parent)}/{wheel.name}"
    node.run("apt-get update && apt-get install --yes --no-install-recommends python3-venv")
    node.run(f"python3 -m venv env && env/bin/pip install {url}", user="owner")
    assert "relayq" in node.run("env/bin/relayq --version", user="owner").stdout


def test_changes_are_what_was_made_changed_and_removed(boot: Boot) -> None:
    """Exactly that, and nothing once it is undone: this is how an uninstall is judged."""
    (node,) = boot("a")
    node.run("mkdir -p /opt/x; echo 1 >/opt/x/made; echo >>/etc/issue; rm /etc/debian_version; ln -s x /opt/link")
    assert node.changes() == {"/opt/x/", "/opt/x/made", "/etc/issue", "/etc/debian_version", "/opt/link"}
    node.run("cp -a /etc/os-release /etc/debian_version; rm -r /opt/x /opt/link; sed -i '$d' /etc/issue")
    assert node.changes() == {"/etc/debian_version"}
    node.reboot()
    assert node.changes() == {"/etc/debian_version"}


def test_command_that_fails_or_does_not_end_says_what_it_printed(boot: Boot) -> None:
    """And what it left running neither holds up the test nor outlives the node."""
    (node,) = boot("a")
    with pytest.raises(CommandError, match="exit 3\nsaid\n"):
        node.run("echo said; exit 3")
    with pytest.raises(CommandError, match=r"did not end within 0\.2 s"):
        node.run("sleep 60", user="owner", timeout=0.2)
    assert node.run("cat; echo $A $HOME; sleep 600 &", input="given\n", env={"A": "1"}).stdout == "given\n1 /root\n"
    assert node.run("echo ~; id -un", user="owner").stdout == "/home/owner\nowner\n"


def alive(pids: list[int]) -> list[int]:
    """Those that are still there; the last of them may take a moment to be waited for."""
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_node_that_is_closed_leaves_nothing(lab: Lab) -> None:
    """No process, no group, no namespace, no mount, no file."""
    (node,) = lab.boot("gone")
    node.run("sleep 600 &")
    of_node = node.container.group.folder.name
    group, folder = node.container.group, node.root.parent
    assert len(group.processes()) > 3
    assert groups.named(of_node)
    assert runs.namespaces(of_node)
    assert runs.mounts(folder)
    pids = group.processes()
    lab.close_nodes(node)
    wait_until(lambda: not alive(pids), 5)
    assert not groups.named(of_node)
    assert not runs.namespaces(of_node)
    assert not runs.mounts(folder)
    assert not folder.exists()


def test_what_a_killed_run_left_is_swept(lab: Lab) -> None:
    """A test process may be killed at any time: the next one removes its hub, nodes and all."""
    code = (
        "import time; from tests.install.lab import Lab; Lab().boot('left'); print('up', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "up\n"
        other.kill()
    prefix = f"{runs.PREFIX}{other.pid}-"
    pids = [pid for name in groups.named(prefix) for pid in groups.Group(name).processes()]
    assert pids
    runs.sweep()
    wait_until(lambda: not alive(pids), 5)
    assert not groups.named(prefix)
    assert not runs.namespaces(prefix)
    assert not [m for m in runs.mounts(runs.cache()) if f"/{other.pid}-" in str(m)]
    assert not list(runs.cache().glob(f"runs/{other.pid}-*"))
    assert "br-ts" in lab.hub.call("ip", "link"), "ours is still there"
