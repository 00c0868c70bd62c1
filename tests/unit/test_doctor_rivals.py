"""What the doctor says of others who manage, watch or end Redis and relayq."""

from __future__ import annotations

import plistlib
from pathlib import Path

import pytest

from relayq.doctor import rivals
from relayq.receipt import Receipt
from tests.unit.doctor import Machine, levels, machine_at


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return machine_at(tmp_path, monkeypatch)


ENABLED = 'case "$1$2" in *is-enabled*) echo enabled;; *is-active*) echo active;; esac'
UNIT = "[Service]\nExecStart={}\nRestart=always\n"


def test_a_machine_without_rivals_is_told_so(machine: Machine) -> None:
    """The distribution's own unit, its log rotation, and our units are none."""
    machine.command("systemctl", ENABLED)
    machine.file("/etc/systemd/system/redis.service", UNIT.format("/usr/bin/redis-server /etc/redis/redis.conf"))
    machine.file("/etc/systemd/system/relayq-worker.service", UNIT.format("/opt/relayq/current/bin/relayq worker"))
    machine.file("/etc/cron.daily/logrotate", "#!/bin/sh\n/usr/sbin/logrotate /etc/logrotate.conf\n")
    machine.file("/etc/cron.d/backup", "0 3 * * * root /usr/local/bin/backup /var/lib/redis\n")
    machine.file("/etc/cron.d/relayq", "*/5 * * * * root relayq doctor --quiet || echo restart it\n")
    assert levels(machine.ask(rivals.monitors)) == ["ok"]


def test_a_timer_whose_script_restarts_redis_is_found(machine: Machine) -> None:
    """As 1.x had two of; the name of the unit says nothing, its script does."""
    machine.command("systemctl", ENABLED)
    machine.file("/usr/local/bin/keepup.sh", "#!/bin/sh\n# once a minute\nredis-cli ping || service redis restart\n")
    machine.file("/etc/systemd/system/keepup.service", UNIT.format("/usr/local/bin/keepup.sh"))
    machine.file("/etc/systemd/system/keepup.timer", "[Timer]\nOnCalendar=minutely\n")
    finding = machine.one(rivals.monitors)
    assert (finding.level, finding.mend) == ("problem", "sudo systemctl disable --now keepup.timer")


def test_a_unit_that_is_switched_off_ends_nothing(machine: Machine) -> None:
    """What setup has retired stays in its place, for the way back."""
    machine.command("systemctl", "case $1 in is-enabled) echo disabled;; is-active) echo inactive;; esac")
    machine.file("/etc/systemd/system/redis-monitor.service", UNIT.format("/bin/sh -c 'systemctl restart redis'"))
    assert machine.one(rivals.monitors).level == "ok"


def test_a_users_unit_is_ended_as_the_users(machine: Machine) -> None:
    """Not everything is the system's."""
    machine.command("systemctl", ENABLED)
    machine.file("/home/.config/systemd/user/w.service", UNIT.format("/bin/sh -c 'pkill -f celery.*relayq'"))
    assert machine.one(rivals.monitors).mend == "systemctl --user disable --now w.service"


@pytest.mark.parametrize(
    ("path", "mend"),
    [
        ("/etc/cron.d/redis-health", "sudo mv {file} {file}.off"),
        ("/etc/crontab", "sudo nano /etc/crontab"),
        ("/etc/cron.hourly/redis", "sudo chmod -x {file}"),
    ],
)
def test_a_cron_job_that_ends_redis_is_found(machine: Machine, path: str, mend: str) -> None:
    """Whichever of cron's places it is in; comments do nothing."""
    file = machine.file(path, "# redis: kill\n* * * * * root pgrep redis-server || systemctl restart redis-server\n")
    finding = machine.one(rivals.monitors)
    assert (finding.level, finding.mend) == ("problem", mend.format(file=file))
    file.write_text("# * * * * * root systemctl restart redis-server\n")
    assert machine.one(rivals.monitors).level == "ok"


def test_the_users_own_crontab_is_read(machine: Machine) -> None:
    """By the command: its file is root's."""
    machine.command("crontab", "echo '*/5 * * * * pkill -9 -f \"celery.*relayq\"'")
    finding = machine.one(rivals.monitors)
    assert (finding.level, finding.mend) == ("problem", "crontab -e")
    assert 'your crontab ("*/5 * * * * pkill' in finding.sentence


def test_what_only_watches_is_a_warning(machine: Machine) -> None:
    """Its program cannot be read: only its name says what it may do."""
    machine.file("/etc/systemd/system/redis-watchdog.service", UNIT.format("/opt/watch/binary --interval 5"))
    machine.command("systemctl", ENABLED)
    assert machine.one(rivals.monitors).level == "warning"


def test_a_macs_agent_that_restarts_the_worker_is_found(machine: Machine) -> None:
    """The label of the worker itself is relayq's, also that of 1.x."""
    machine.platform = "darwin"
    said = {
        "Label": "x",
        "ProgramArguments": ["/bin/sh", "-c", "launchctl kickstart -k gui/501/com.user.relayq.worker"],
    }
    file = machine.file("/home/Library/LaunchAgents/com.user.relayq.monitor.plist", "")
    file.write_bytes(plistlib.dumps(said))
    machine.file("/home/Library/LaunchAgents/com.user.relayq.worker.plist", "").write_bytes(plistlib.dumps(said))
    finding = machine.one(rivals.monitors)
    assert (finding.level, finding.mend) == ("problem", f"launchctl bootout gui/$(id -u) {file}")


def test_what_setup_wrote_is_no_rival(machine: Machine) -> None:
    """The receipt knows its files."""
    file = machine.file("/etc/systemd/system/bind.service", UNIT.format("/bin/sh -c 'systemctl restart redis'"))
    machine.command("systemctl", ENABLED)
    assert machine.one(rivals.monitors).level == "problem"
    Receipt(machine.home / "receipt.json").note_file(file, "x")
    assert machine.one(rivals.monitors).level == "ok"


def test_a_second_unit_that_fails_again_and_again_is_found(machine: Machine) -> None:
    """It fights for the port; ours has a check of its own."""
    machine.command(
        "systemctl",
        "echo 'redis-server@relayq.service loaded activating auto-restart Redis'\n"
        "echo 'redis-server.service loaded activating auto-restart Redis'\n"
        "echo 'ssh.service loaded active running sshd'\n",
    )
    [finding] = [found for found in machine.ask(rivals.managers) if found.level == "problem"]
    assert finding.mend == "sudo systemctl disable --now redis-server.service"


def test_two_redis_on_one_port_are_found(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """One on loopback, one on the Tailscale address: each client reaches another store."""
    monkeypatch.setattr(rivals, "_ports", lambda: {"6379": ["redis-server.service", "process 12"], "6380": ["x"]})
    machine.command("systemctl", "exit 1")
    finding = machine.one(rivals.managers)
    assert finding.level == "problem"
    assert "port 6379 (redis-server.service, process 12)" in finding.sentence


def test_the_redis_processes_of_this_machine_are_seen_with_their_ports(machine: Machine, redis_server: str) -> None:
    """From their titles; real ones."""
    port = redis_server.rpartition(":")[2].removesuffix("/0")
    assert len(rivals._ports()[port]) == 1
