"""What the doctor says of the machine itself: disks, heat, power, sleep."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from relayq.doctor import machine as subject
from relayq.doctor import pi
from tests.unit.doctor import Machine, machine_at


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return machine_at(tmp_path, monkeypatch)


PMSET = """System-wide power settings:
Currently in use:
 standby              0
 autorestart          {autorestart}
 powernap             1
 disksleep            10
 sleep                {sleep} (sleep prevented by powerd)
 displaysleep         10
"""


def a_pi(machine: Machine, **files: str) -> None:
    machine.file("/proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0")
    for path, text in files.items():
        machine.file(path, text)


def disk_with(monkeypatch: pytest.MonkeyPatch, **changes: int) -> None:
    """A disk of 100 GiB with half of it free, but for `changes`."""
    kept: dict[str, Any] = {
        "f_frsize": 1 << 20, "f_blocks": 100 << 10, "f_bavail": 50 << 10, "f_files": 1 << 20, "f_favail": 1 << 19,
        "f_flag": 0,
    }  # fmt: skip
    monkeypatch.setattr(subject.os, "statvfs", lambda _: SimpleNamespace(**{**kept, **changes}))


@pytest.mark.parametrize(
    ("changes", "level", "word"),
    [
        ({}, "ok", "50.0 GiB free"),
        ({"f_bavail": 50}, "problem", "50 MiB are free"),
        ({"f_bavail": 900}, "warning", "900 MiB"),
        ({"f_blocks": 2000, "f_bavail": 900}, "ok", "0.9 GiB free"),
        ({"f_favail": 10}, "problem", "no room for more files"),
        ({"f_flag": os.ST_RDONLY}, "problem", "read-only"),
    ],
)
def test_a_full_or_failing_disk_is_told_once(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, changes: dict[str, int], level: str, word: str
) -> None:
    """Home and /tmp are on one disk here. A small disk is not full because it is small."""
    disk_with(monkeypatch, **changes)
    monkeypatch.setattr(subject.tempfile, "gettempdir", lambda: str(machine.root))
    finding = machine.one(subject.disk)
    assert finding.level == level
    assert word in finding.sentence


def test_a_home_that_cannot_be_written_is_told(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker could start nothing."""
    monkeypatch.setattr(subject.os, "access", lambda path, _: path != machine.home)
    finding = machine.one(subject.disk)
    assert finding.level == "problem"
    assert str(machine.home) in finding.sentence


def test_a_home_that_is_not_there_yet_is_measured_where_it_would_be(machine: Machine) -> None:
    """Before the first start."""
    machine.home.rmdir()
    assert machine.one(subject.disk).level in {"ok", "warning"}


@pytest.mark.parametrize(("heat", "level"), [("61200", "ok"), ("83000", "warning")])
def test_a_hot_raspberry_pi_is_told(machine: Machine, heat: str, level: str) -> None:
    """It slows down at 80 °C; other machines are built for more."""
    machine.file("/sys/class/thermal/thermal_zone0/temp", f"{heat}\n")
    machine.file("/sys/class/thermal/thermal_zone1/temp", "N/A\n")
    assert machine.one(subject.temperature).level == "ok"
    a_pi(machine)
    finding = machine.one(subject.temperature)
    assert finding.level == level
    assert f"{int(heat) // 1000} °C" in finding.sentence


def test_a_machine_that_does_not_know_its_temperature_says_nothing(machine: Machine) -> None:
    """A cloud's, or a Mac."""
    assert machine.ask(subject.temperature) == []


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        ("0x0", [("ok", "enough")]),
        ("0x50005", [("problem", "under-voltage now"), ("warning", "throttled now")]),
        ("0x50000", [("warning", "there was under-voltage")]),
        ("0x8", [("warning", "slowed by heat now")]),
        ("0x80000", [("ok", "was slowed by heat")]),
    ],
)
def test_a_weak_supply_is_told(machine: Machine, bits: str, expected: list[tuple[str, str]]) -> None:
    """vcgencmd's bits, now and since the start."""
    a_pi(machine)
    machine.command("vcgencmd", f'[ "$1" = get_throttled ] && echo "throttled={bits}"')
    found = machine.ask(pi.power)
    assert [finding.level for finding in found] == [level for level, _ in expected]
    for finding, (_, word) in zip(found, expected, strict=True):
        assert word in finding.sentence


def test_without_vcgencmd_the_kernel_is_asked(machine: Machine) -> None:
    """It may not be installed, or not allowed to this user."""
    a_pi(machine, **{"/sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n"})
    machine.command("vcgencmd", "echo 'VCHI initialization failed' >&2; exit 255")
    assert machine.ask(pi.power)[0].level == "problem"


def test_only_a_raspberry_pi_is_asked_for_its_supply(machine: Machine) -> None:
    """Whatever commands other machines have."""
    machine.command("vcgencmd", "echo throttled=0x1")
    assert machine.ask(pi.power) == []
    assert machine.ask(pi.memory_groups) == []


def test_the_hint_for_memory_limits_names_the_file_that_is_there(machine: Machine) -> None:
    """A hint, not a warning: nothing of relayq needs them."""
    a_pi(machine, **{"/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io pids", "/boot/cmdline.txt": "console=tty1"})
    finding = machine.one(pi.memory_groups)
    assert finding.level == "ok"
    assert finding.mend == "sudo sed -i '1s/$/ cgroup_enable=memory cgroup_memory=1/' /boot/cmdline.txt"
    a_pi(machine, **{"/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids"})
    assert machine.one(pi.memory_groups).mend is None


@pytest.mark.parametrize(
    ("sleep", "autorestart", "level", "mend"),
    [
        (10, 1, "warning", "sudo pmset -a sleep 0"),
        (0, 1, "ok", None),
        (0, 0, "ok", "sudo pmset -a autorestart 1"),
    ],
)
def test_a_mac_that_sleeps_is_told(
    machine: Machine, sleep: int, autorestart: int, level: str, mend: str | None
) -> None:
    """`pmset -g` as it prints on a Mac mini."""
    machine.is_worker()
    machine.platform = "darwin"
    machine.command("pmset", f"cat <<'X'\n{PMSET.format(sleep=sleep, autorestart=autorestart)}X\n")
    finding = machine.one(subject.sleep)
    assert (finding.level, finding.mend) == (level, mend)


@pytest.mark.parametrize(
    ("target", "default", "idle", "level"),
    [
        ("static", "graphical.target", "", "warning"),
        ("masked", "graphical.target", "suspend", "ok"),
        ("static", "multi-user.target", "", "ok"),
        ("static", "multi-user.target", "suspend", "warning"),
        ("static", "multi-user.target", "ignore", "ok"),
    ],
)
def test_a_linux_that_may_sleep_is_told(machine: Machine, target: str, default: str, idle: str, level: str) -> None:
    """Its desktop, or systemd itself, may put it to sleep; a masked target cannot."""
    machine.is_worker()
    machine.command("systemctl", f"case $1 in is-enabled) echo {target};; get-default) echo {default};; esac")
    machine.file("/sys/power/state", "freeze mem disk\n")
    if idle:
        machine.file("/etc/systemd/logind.conf.d/x.conf", f"[Login]\nIdleAction={idle}\n")
    assert machine.one(subject.sleep).level == level


def test_a_machine_that_only_submits_may_sleep(machine: Machine) -> None:
    """A laptop's lid is its owner's business."""
    machine.command("systemctl", "echo static")
    assert machine.ask(subject.sleep) == []
