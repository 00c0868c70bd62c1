"""`relayq service`, and `find` and `program`, by which it knows what to install and what is installed."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from relayq import service
from relayq.cli import service as verb
from relayq.cli.app import cli
from relayq.config import load
from relayq.errors import SetupError
from relayq.service import launchd, model, ours, systemd
from relayq.service.launchd import Launchd
from relayq.service.systemd import Systemd
from tests.unit.service_stubs import Bench

ME = pwd.getpwuid(os.geteuid()).pw_name
CONFIG = "broker:\n  url: redis://:secret@vm:6379/0\nworker:\n  priority: low\n"


class Machine(Bench):
    """`machine("status")` is `relayq service status` there."""

    def __call__(self, *args: str) -> Result:
        return CliRunner().invoke(cli, ["service", *args])

    def json(self, *args: str) -> object:
        """What it prints with --json."""
        return json.loads(self(*args, "--json").stdout)


@pytest.fixture
def linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = _machine(tmp_path, monkeypatch, lambda system=False: Systemd(system=system))
    monkeypatch.setattr(systemd, "SYSTEM_UNITS", tmp_path / "etc/systemd/system")
    monkeypatch.setattr(systemd, "refuse_root", lambda _: None)  # tests run as anybody
    return machine


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = _machine(tmp_path, monkeypatch, lambda system=False: Launchd(system=system))
    monkeypatch.setattr(launchd, "DAEMONS", tmp_path / "Library/LaunchDaemons")
    monkeypatch.setattr(launchd, "refuse_root", lambda _: None)
    return machine


def _machine(folder: Path, monkeypatch: pytest.MonkeyPatch, manager: Callable[..., model.Manager]) -> Machine:
    for variable in [name for name in os.environ if name.startswith("RELAYQ_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setattr(service, "manager", manager)
    # Root's own commands, too, go through the stub.
    monkeypatch.setattr("relayq.effects._elevation", lambda: ("sudo",))
    machine = Machine(folder, monkeypatch)
    (machine.relayq_home / "config.yml").write_text(CONFIG)
    return machine


def test_install_goes_by_the_settings_of_this_machine(linux: Machine) -> None:
    """And by the program that was asked; a second time nothing is done."""
    done = linux("install")
    assert (done.exit_code, done.stdout) == (0, "relayq-worker: running\n")
    unit = (linux.home / ".config/systemd/user/relayq-worker.service").read_text()
    assert f"RELAYQ_HOME={linux.relayq_home}\n" in unit
    assert "Nice=10\n" in unit
    assert f"ExecStart={' '.join(ours.program())} worker --no-restart\n" in unit
    assert "secret" not in unit
    assert linux.calls()[-1] == "systemctl --user start relayq-worker.service"
    again = linux("install", "worker")
    assert (again.stdout, again.stderr) == ("relayq-worker: running; nothing has changed\n", "")
    assert linux.calls() == []
    assert linux.json("install") == {
        "service": "relayq-worker", "kind": "systemd-user", "changed": False, "running": True,
    }  # fmt: skip


def test_install_on_a_mac(mac: Machine) -> None:
    """The same verb."""
    done = mac("install")
    assert (done.exit_code, done.stdout) == (0, "relayq-worker: running\n")
    assert (mac.home / "Library/LaunchAgents/com.user.relayq.worker.plist").exists()


def test_a_server_is_a_service_of_the_system(linux: Machine) -> None:
    """Run by whoever its home belongs to."""
    assert linux("install", "server").exit_code == 0
    unit = (linux.folder / "etc/systemd/system/relayq-server.service").read_text()
    assert f"User={ME}\n" in unit
    assert f"ReadWritePaths=-{linux.relayq_home}\n" in unit
    assert "sudo systemctl start relayq-server.service" in linux.calls()
    assert linux.json("status", "server")["services"][0]["kind"] == "systemd-system"  # type: ignore[index]
    assert linux.receipt.role == "broker"


def test_system_is_asked_for_once_and_found_again(linux: Machine) -> None:
    """`status`, `restart` and `uninstall` need no option."""
    linux("install", "--system")
    linux.calls()
    assert linux("restart").stdout == "relayq-worker is restarted; its jobs go on\n"
    assert linux("uninstall").exit_code == 0
    assert linux.calls()[:2] == [
        "sudo systemctl restart relayq-worker.service",
        "sudo systemctl stop relayq-worker.service",
    ]


def test_without_a_broker_in_the_file_there_is_nothing_to_serve(
    linux: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service knows neither this shell nor a broker that `relayq up` will take down again."""
    (linux.relayq_home / "config.yml").unlink()
    assert "names no broker for a service to work for. Write it there" in linux("install").stderr
    (linux.relayq_home / "broker").mkdir()
    (linux.relayq_home / "broker/url").write_text("redis://:x@127.0.0.1:7000/0")
    assert "(`relayq up` has one, with a worker of its own)" in linux("install").stderr
    monkeypatch.setenv("RELAYQ_BROKER_URL", "redis://:hidden@vm:6379/0")
    done = linux("install")
    assert done.exit_code == 1
    assert "(RELAYQ_BROKER_URL is known to this shell only)" in done.stderr
    assert "hidden" not in done.output
    assert linux.calls() == []


def test_what_only_this_shell_knows_is_named(linux: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not count in the service."""
    monkeypatch.setenv("RELAYQ_NICE", "3")
    done = linux("install")
    assert "RELAYQ_NICE counts in this shell only: the service goes by" in done.stderr
    assert "Nice=10\n" in (linux.home / ".config/systemd/user/relayq-worker.service").read_text()


def test_a_dry_run_says_and_does_nothing(linux: Machine) -> None:
    """For installing and for uninstalling."""
    done = linux("install", "--dry-run")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "would write" in done.stderr
    assert linux.calls() == []
    linux("install")
    linux.calls()
    assert "would remove" in linux("uninstall", "--dry-run").stderr
    assert linux.calls() == []
    assert linux("status").exit_code == 0


def test_status_is_a_short_table_and_an_exit_code(linux: Machine) -> None:
    """0: it runs; 1: it does not."""
    away = linux("status")
    assert away.exit_code == 1
    assert away.stdout.splitlines()[1:] == ["relayq-worker  not installed  -    -      0         no       systemd-user"]
    linux("install")
    there = linux("status")
    assert there.exit_code == 0
    head, row = there.stdout.splitlines()
    assert head.split()[:3] == ["SERVICE", "STATE", "PID"]
    assert row.split()[:3] == ["relayq-worker", "running", str(os.getpid())]
    assert row.split()[-2:] == ["yes", "systemd-user"]
    linux("install", "server")
    assert len(linux("status").stdout.splitlines()) == 3
    linux.set(shown={"relayq-server.service": {"ActiveState": "failed", "SubState": "failed"}})
    failed = linux("status")
    assert failed.exit_code == 1
    assert failed.stdout.endswith("\nrelayq-server: it did not start (success); it is not started again\n")
    assert linux("status", "worker").exit_code == 0


def test_status_as_json(linux: Machine) -> None:
    """Stable names."""
    linux("install")
    assert linux.json("status") == {
        "services": [
            {
                "service": "relayq-worker",
                "kind": "systemd-user",
                "installed": True,
                "running": True,
                "enabled": True,
                "pid": os.getpid(),
                "since": 1795602347.0,
                "restarts": 0,
                "detail": "running",
            }
        ]
    }


@pytest.mark.parametrize("args", [["restart"], ["uninstall"], ["logs"], ["restart", "server"]])
def test_what_is_not_installed_can_only_be_installed(linux: Machine, args: list[str]) -> None:
    """It says how."""
    done = linux(*args)
    assert done.exit_code == 1
    name = args[1] if len(args) > 1 else "worker"
    assert f"no service relayq-{name} on this machine. To have it: relayq service install {name}" in done.stderr


def test_uninstalling_a_worker_ends_its_jobs(linux: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """After it has stopped: it would take new ones. Those of a server are another worker's."""
    seen: list[object] = []

    def end_jobs(home: Path, store: object, *, grace: float) -> int:
        seen.append((home, store is not None, Systemd().status("worker").running))
        return 2

    monkeypatch.setattr("relayq.worker.ending.end_jobs", end_jobs)
    monkeypatch.setattr("relayq.worker.ending.shut_down", seen.append)
    linux("install")
    done = linux("uninstall")
    assert done.stdout == "relayq-worker is removed from this machine's services; 2 jobs ended and wait again\n"
    assert seen == [(linux.relayq_home, True, False), linux.relayq_home]
    linux("install", "server")
    assert linux.json("uninstall", "server") == {"uninstalled": "relayq-server", "ended_jobs": 0}
    assert len(seen) == 2


def _logs(machine: Machine, *args: str) -> list[str]:
    """What `relayq service logs` becomes: it is gone by then."""
    code = (
        "import os, sys\n"
        "os.execvp = lambda file, argv: (print(*argv, sep='\\n'), os._exit(0) if sys.stdout.flush() is None else 0)\n"
        "from relayq import service\n"
        "from relayq.service.systemd import Systemd\n"
        "service.manager = lambda system=False: Systemd(system=system)\n"
        "from relayq.cli import main\n"
        "main()"
    )
    argv = [sys.executable, "-c", code, "service", "logs", *args]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()


def test_logs_are_systemds_or_the_file_of_the_settings(linux: Machine) -> None:
    """1.x's config.yml names a file; the journal is empty then."""
    linux("install")
    assert _logs(linux, "-n", "7") == [
        "journalctl", "--user-unit=relayq-worker.service", "--lines=7", "--no-pager",
    ]  # fmt: skip
    (linux.relayq_home / "config.yml").write_text(CONFIG + "logging:\n  file: worker.log\n")
    assert _logs(linux, "-f") == ["tail", "-n", "100", "-F", str(linux.relayq_home / "worker.log")]


def test_a_home_that_is_not_ours_is_said_to_be_somebodys(linux: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is changed that no receipt would know of."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    done = linux("install")
    assert done.exit_code == 1
    assert f"{linux.relayq_home} belongs to {ME}. Run this as that user, or as root" in done.stderr
    assert linux.calls() == []


def test_a_machine_without_a_service_manager_is_told_how_to_start_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container, or a system with another init."""
    bench = Machine(tmp_path, monkeypatch)
    bench.set(system="offline")
    done = bench("status")
    assert done.exit_code == 1
    assert done.stderr.startswith("relayq: neither systemd nor launchd runs this machine")
    assert done.stderr.endswith("relayq worker &\n")


@pytest.mark.parametrize(("platform", "kind"), [("darwin", "launchd-agent"), ("linux", "systemd-user")])
def test_the_manager_is_the_machines_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, kind: str
) -> None:
    """macOS has one; a Linux that systemd has booted, the other."""
    Bench(tmp_path, monkeypatch)
    monkeypatch.setattr(sys, "platform", platform)
    assert service.manager().kind == kind
    assert service.manager(system=True).kind != kind


def test_the_program_is_the_one_behind_the_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade moves `current`; a service that names venvs/2.0 would go on with the old one."""
    for place in ("venvs/2.0", "venvs/1.9", "plain"):
        (tmp_path / place / "bin").mkdir(parents=True)
        (tmp_path / place / "bin/relayq").touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venvs/2.0"))
    assert ours.program() == (str(tmp_path / "venvs/2.0/bin/relayq"),)
    (tmp_path / "current").symlink_to("venvs/1.9")
    assert ours.program() == (str(tmp_path / "current/bin/relayq"),)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "current"))
    assert ours.program() == (str(tmp_path / "current/bin/relayq"),)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "plain"))
    assert ours.program() == (str(tmp_path / "plain/bin/relayq"),)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "nowhere"))
    assert ours.program() == (sys.executable, "-m", "relayq")


def test_a_home_of_a_user_who_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody could run the service."""
    monkeypatch.setattr(pwd, "getpwuid", _raise)
    with pytest.raises(SetupError, match="who is unknown here"):
        verb._owner(tmp_path)
    with pytest.raises(SetupError, match="no user nonesuch"):
        model.home_of("nonesuch")


def test_the_worker_of_a_service_has_no_minder(linux: Machine) -> None:
    """Whatever the service manager puts into its environment: two that start it again would start two."""
    unit = ours.worker_unit(load({"HOME": str(linux.home)}))
    assert unit.argv[-2:] == ("worker", "--no-restart")


def _raise(_: object) -> None:
    raise KeyError
