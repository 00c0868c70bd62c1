"""Services by systemd: what is written, what is told to whom, and what is left alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from relayq.errors import SetupError
from relayq.service import Unit, model, systemd
from relayq.service.systemd import Systemd
from relayq.service.systemd_status import status_of
from relayq.service.systemd_text import render
from tests.unit.service_stubs import Bench, need

SERVICE = "relayq-worker.service"
USER_UNIT = """\
# Written by relayq. For changes of your own: systemctl --user edit relayq-worker.service
[Unit]
Description=relayq worker
# Started again for ever: an outage may last longer than any limit.
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart="/home/pi/my venv/bin/relayq" worker --no-restart
Environment=PATH=/home/pi/.local/bin:/opt/homebrew/bin:/opt/homebrew/sbin:/usr/local/sbin:/usr/local/bin:/usr/sbin:\
/usr/bin:/sbin:/bin:/snap/bin
Environment=RELAYQ_HOME=/home/pi/.relayq
Environment=RELAYQ_NICE=0
SyslogIdentifier=relayq-worker
Restart=always
RestartSec=2
TimeoutStopSec=15
# Jobs go on when the worker is stopped or killed, for the next one to adopt; and a job that takes all
# memory ends alone.
KillMode=process
OOMPolicy=continue
Nice=10
IOSchedulingClass=idle

[Install]
WantedBy=default.target
"""


def worker(home: Path = Path("/home/pi/.relayq"), *argv: str, **options: object) -> Unit:
    words = argv or ("/home/pi/my venv/bin/relayq", "worker", "--no-restart")
    return Unit(name="worker", argv=words, description="relayq worker", home=home, **options)  # type: ignore[arg-type]


def server(**options: object) -> Unit:
    return Unit(
        name="server",
        argv=("/bin/true", "server"),
        description="relayq server",
        home=Path("/var/lib/relayq"),
        user="daemon",
        **options,  # type: ignore[arg-type]
    )


def text(unit: Unit, *, system: bool = False, version: int = 252) -> str:
    return render(unit, system=system, version=version, owner_home=Path("/home/pi"))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(systemd, "SYSTEM_UNITS", tmp_path / "etc/systemd/system")
    monkeypatch.setattr(systemd, "refuse_root", lambda _: None)  # tests run as anybody
    return Bench(tmp_path, monkeypatch)


# ── the text ──


def test_the_unit_of_a_users_worker() -> None:
    """To the letter: what is in it was chosen."""
    assert text(worker(nice=10)) == USER_UNIT


def test_what_systemd_would_take_for_its_own_reaches_the_program_as_it_is() -> None:
    """A folder may be called anything."""
    unit = text(worker(Path('/srv/100% "ours"'), "/opt/$a b/relayq", "worker", env={"X": "a\\b"}))
    assert 'ExecStart="/opt/$$a b/relayq" worker\n' in unit
    assert 'Environment="RELAYQ_HOME=/srv/100%% \\"ours\\""\n' in unit
    assert 'Environment="X=a\\\\b"\n' in unit


def test_back_off_grows_where_systemd_can() -> None:
    """RestartSteps= came with 254; an older one would warn about it at every reload."""
    assert "RestartSteps" not in text(worker(), version=253)
    assert "RestartSteps=5\nRestartMaxDelaySec=60\n" in text(worker(), version=254)


def test_politeness_is_the_units_own() -> None:
    """And not added to by the worker."""
    assert "Nice" not in text(worker())
    assert "RELAYQ_NICE" not in text(worker())
    assert "Nice=3\nIOSchedulingClass=best-effort\nIOSchedulingPriority=7\n" in text(worker(nice=3))
    assert "Nice=-5\n\n" in text(worker(nice=-5), system=True)


def test_a_service_of_the_system_runs_as_its_user() -> None:
    """And when the network is there."""
    unit = text(worker(user="pi"), system=True)
    assert "User=pi\n" in unit
    assert "After=network-online.target tailscaled.service\n" in unit
    assert unit.endswith("WantedBy=multi-user.target\n")


@pytest.mark.parametrize("system", [False, True])
def test_a_worker_takes_nothing_from_its_jobs(system: bool) -> None:
    """They outlive it, and may do what their owner may do in a shell: sudo, ping, containers, devices."""
    lines = text(worker(user="pi"), system=system).splitlines()
    assert "KillMode=process" in lines
    taking = ("NoNew", "Private", "Protect", "Restrict", "SystemCall", "Capability", "Lock", "Memory", "Dynamic")
    assert [line for line in lines if line.startswith(taking)] == []


def test_a_server_may_write_its_home_and_what_it_was_given() -> None:
    """Nothing else."""
    unit = text(server(writes=(Path("/var/lib/a b"),)), system=True)
    assert 'ReadWritePaths=-/var/lib/relayq "-/var/lib/a b"\n' in unit
    assert "ProtectSystem=strict\n" in unit


def test_a_secret_is_refused() -> None:
    """Everybody may read a unit."""
    with pytest.raises(SetupError, match=r"RELAYQ_BROKER_URL must not stand.*config\.yml"):
        text(worker(env={"RELAYQ_BROKER_URL": "redis://:x@vm/0"}))


@pytest.mark.parametrize("system", [False, True])
@pytest.mark.parametrize("name", ["worker", "server"])
def test_systemd_finds_nothing_wrong(tmp_path: Path, name: str, system: bool) -> None:
    """What it does not know it would only mention at run time."""
    need(shutil.which("systemd-analyze"), "no systemd-analyze: apt-get install systemd")
    unit = server() if name == "server" else worker(Path("/x y"), "/bin/true", "worker", user="daemon", nice=10)
    file = tmp_path / f"relayq-{name}.service"
    file.write_text(text(unit, system=system))
    checked = subprocess.run(
        ["systemd-analyze", *([] if system else ["--user"]), "--man=no", "verify", str(file)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_a_server_is_confined(tmp_path: Path) -> None:
    """It is the one that listens. The exposure is systemd's own measure, 0 to 10 (here in tenths)."""
    need(shutil.which("systemd-analyze"), "no systemd-analyze: apt-get install systemd")
    file = tmp_path / "relayq-server.service"
    file.write_text(text(server(), system=True))
    checked = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=18", "--no-pager", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


# ── installing ──


def test_installing_starts_it_now_and_at_boot(bench: Bench) -> None:
    """Without a login: the user lingers, and its manager needs a moment after that."""
    bench.set(user="offline")
    assert Systemd().install(worker(bench.relayq_home), bench.effects())
    unit = bench.home / ".config/systemd/user" / SERVICE
    assert f"RELAYQ_HOME={bench.relayq_home}" in unit.read_text()
    me = systemd._me()
    assert bench.calls() == [
        f"loginctl --no-ask-password enable-linger {me}",
        "systemctl --user daemon-reload",
        f"systemctl --user enable {SERVICE}",
        f"systemctl --user start {SERVICE}",
    ]
    assert bench.receipt.units == [f"systemd-user {SERVICE}"]
    assert str(unit) in bench.receipt.files
    assert str(bench.home / ".config") in bench.receipt.folders
    assert Systemd().status("worker").running


def test_a_second_installation_changes_and_restarts_nothing(bench: Bench) -> None:
    """Running an installer again is how people repair."""
    Systemd().install(worker(bench.relayq_home), bench.effects())
    bench.calls()
    before = bench.receipt
    assert not Systemd().install(worker(bench.relayq_home), bench.effects())
    assert bench.calls() == []
    assert bench.said == []
    assert bench.receipt == before


def test_what_has_changed_is_a_reason_to_restart(bench: Bench) -> None:
    """Its own file, and what was changed before in the same run: its program or its settings."""
    unit = worker(bench.relayq_home, str(bench.folder / "current/bin/relayq"), "worker")
    Systemd().install(unit, bench.effects())
    bench.calls()
    assert Systemd().install(worker(bench.relayq_home, *unit.argv, nice=5), bench.effects())
    assert bench.calls() == ["systemctl --user daemon-reload", f"systemctl --user restart {SERVICE}"]
    unit = worker(bench.relayq_home, *unit.argv, nice=5)
    for path in (bench.folder / "current", bench.relayq_home / "config.yml"):
        effects = bench.effects()
        effects.changed.add(str(path))
        assert Systemd().install(unit, effects)
        assert bench.calls() == [f"systemctl --user restart {SERVICE}"]
    effects = bench.effects()
    effects.changed.add(str(bench.folder / "previous"))
    assert not Systemd().install(unit, effects)
    assert bench.calls() == []


def test_what_was_stopped_or_is_not_started_at_boot_is_mended(bench: Bench) -> None:
    """The file alone is not a service."""
    unit = worker(bench.relayq_home)
    Systemd().install(unit, bench.effects())
    bench.set(units={})
    bench.calls()
    assert Systemd().install(unit, bench.effects())
    assert bench.calls() == [f"systemctl --user enable {SERVICE}", f"systemctl --user start {SERVICE}"]


def test_lingering_is_asked_of_root_where_the_user_may_not(bench: Bench) -> None:
    """As on any machine without polkit."""
    bench.set(needs_root_to_linger=True)
    Systemd().install(worker(bench.relayq_home), bench.effects())
    me = systemd._me()
    assert bench.calls()[:2] == [
        f"loginctl --no-ask-password enable-linger {me}",
        f"sudo loginctl enable-linger {me}",
    ]
    assert bench.receipt.facts["linger"] == me


def test_without_lingering_it_says_when_the_service_runs(bench: Bench) -> None:
    """It is installed all the same, for whoever stays logged in."""
    bench.set(may_linger=False)
    assert Systemd().install(worker(bench.relayq_home), bench.effects())
    assert any("only while" in line and "sudo loginctl enable-linger" in line for line in bench.said)
    status = Systemd().status("worker")
    assert (status.running, status.enabled) == (True, False)
    assert "enable-linger" in status.detail


def test_a_user_without_a_manager_is_told_the_other_way(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written for somebody who will not read it."""
    monkeypatch.setattr(systemd, "PATIENCE", 0.2)
    bench.set(user="offline", may_linger=False)
    with pytest.raises(SetupError, match=r"does not run for the user.*Failed to connect to bus.*--system"):
        Systemd().install(worker(bench.relayq_home), bench.effects())
    assert not (bench.home / ".config").exists()


def test_a_service_of_the_system_is_roots_to_command(bench: Bench) -> None:
    """Command by command, through sudo; looking at it needs none."""
    unit = worker(bench.relayq_home, user=systemd._me())
    assert Systemd(system=True).install(unit, bench.effects())
    assert bench.calls() == [
        "sudo systemctl daemon-reload",
        f"sudo systemctl enable {SERVICE}",
        f"sudo systemctl start {SERVICE}",
    ]
    assert (bench.folder / "etc/systemd/system" / SERVICE).exists()
    assert bench.receipt.units == [f"systemd-system {SERVICE}"]


def test_one_of_the_system_takes_the_place_of_the_users(bench: Bench) -> None:
    """Two workers would take the name from each other."""
    Systemd().install(worker(bench.relayq_home), bench.effects())
    bench.calls()
    Systemd(system=True).install(worker(bench.relayq_home, user=systemd._me()), bench.effects())
    assert bench.state["linger"]  # or the jobs that it is to adopt would end
    assert bench.calls()[:2] == [f"systemctl --user stop {SERVICE}", f"systemctl --user disable {SERVICE}"]
    assert not (bench.home / ".config/systemd/user" / SERVICE).exists()
    assert bench.receipt.units == [f"systemd-system {SERVICE}"]
    assert Systemd(system=True).status("worker").running
    Systemd(system=True).uninstall("worker", bench.effects())
    assert not bench.state["linger"]


def test_a_failure_to_start_is_systemds_own_words(bench: Bench) -> None:
    """With the command that said them."""
    bench.set(fails={"start": [1, "Job for relayq-worker.service failed."]})
    with pytest.raises(SetupError, match=r"systemctl --user start relayq-worker\.service failed: Job for"):
        Systemd().install(worker(bench.relayq_home), bench.effects())


def test_a_dry_run_tells_nobody_anything(bench: Bench) -> None:
    """It says what it would write and command."""
    bench.set(user="offline")
    assert Systemd().install(worker(bench.relayq_home), bench.effects(dry_run=True))
    assert bench.calls() == []
    assert not (bench.home / ".config").exists()
    told = "\n".join(bench.said)
    for part in ("would write", "+KillMode=process", "enable-linger", f"systemctl --user start {SERVICE}"):
        assert part in told


def test_root_has_no_service_of_its_own(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `sudo` too many."""
    monkeypatch.setattr(systemd, "refuse_root", model.refuse_root)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(SetupError, match=r"without sudo.*--system"):
        Systemd().install(worker(bench.relayq_home), bench.effects())


# ── afterwards ──


def test_restart_and_stop(bench: Bench) -> None:
    """Of what is there."""
    with pytest.raises(SetupError, match=r"no service relayq-worker.*relayq service install worker"):
        Systemd().restart("worker", bench.effects())
    Systemd().install(worker(bench.relayq_home), bench.effects())
    bench.calls()
    Systemd().restart("worker", bench.effects())
    Systemd().stop("worker", bench.effects())
    assert bench.calls() == [f"systemctl --user restart {SERVICE}", f"systemctl --user stop {SERVICE}"]
    status = Systemd().status("worker")
    assert (status.installed, status.running, status.detail) == (True, False, "stopped")


def test_uninstalling_leaves_nothing(bench: Bench) -> None:
    """Nor the lingering that came with it."""
    bench.set(needs_root_to_linger=True)
    Systemd().install(worker(bench.relayq_home), bench.effects())
    bench.calls()
    Systemd().uninstall("worker", bench.effects())
    assert bench.calls("reset-failed") == [
        f"systemctl --user stop {SERVICE}",
        f"systemctl --user disable {SERVICE}",
        "systemctl --user daemon-reload",
        f"sudo loginctl disable-linger {systemd._me()}",
    ]
    assert not Systemd().status("worker").installed
    assert [path for path in (bench.home / ".config").rglob("*") if not path.is_dir()] == []
    assert bench.receipt.units == []
    assert [name for name in bench.receipt.files if "systemd" in name] == []


def test_jobs_are_ended_between_the_workers_end_and_that_of_the_users_systemd(bench: Bench) -> None:
    """Sooner there would be new ones, and later nobody would be left to give them back."""
    Systemd().install(worker(bench.relayq_home), bench.effects())
    seen = []
    look = lambda: seen.append((Systemd().status("worker").running, bench.state["linger"]))  # noqa: E731
    Systemd().uninstall("worker", bench.effects(dry_run=True), look)
    assert seen == []
    Systemd().uninstall("worker", bench.effects(), look)
    assert seen == [(False, True)]


def test_lingering_that_was_there_before_stays(bench: Bench) -> None:
    """Somebody else counts on it."""
    bench.set(linger=True)
    Systemd().install(worker(bench.relayq_home), bench.effects())
    Systemd().uninstall("worker", bench.effects())
    assert bench.state["linger"]


def test_uninstalling_where_systemd_does_not_answer_still_removes_the_files(bench: Bench) -> None:
    """A broken installation must be removable."""
    Systemd().install(worker(bench.relayq_home), bench.effects())
    link = bench.home / ".config/systemd/user/default.target.wants" / SERVICE
    link.parent.mkdir()
    link.symlink_to(f"../{SERVICE}")
    bench.set(user="offline")
    Systemd().uninstall("worker", bench.effects())
    assert [path for path in (bench.home / ".config").rglob("*") if not path.is_dir()] == []


def test_one_that_does_not_stop_is_not_taken_away(bench: Bench) -> None:
    """Its file says what it is."""
    Systemd().install(worker(bench.relayq_home), bench.effects())
    bench.set(fails={"stop": [1, "Access denied"]})
    with pytest.raises(SetupError, match="could not be stopped: Access denied"):
        Systemd().uninstall("worker", bench.effects())
    assert (bench.home / ".config/systemd/user" / SERVICE).exists()


def test_logs_are_found_where_users_have_no_journal_of_their_own() -> None:
    """`journalctl --user` shows nothing where the journal is in memory."""
    assert Systemd().log_command("worker", 20, True) == [
        "journalctl", f"--user-unit={SERVICE}", "--lines=20", "--follow",
    ]  # fmt: skip
    assert Systemd(system=True).log_command("server", 5, False)[1] == "--unit=relayq-server.service"


# ── the state ──


def test_a_running_service(bench: Bench) -> None:
    """Times do not depend on where the machine is."""
    Systemd().install(worker(bench.relayq_home), bench.effects())
    status = Systemd().status("worker")
    assert (status.pid, status.since, status.enabled, status.detail) == (os.getpid(), 1795602347.0, True, "running")


@pytest.mark.parametrize(
    ("told", "running", "detail"),
    [
        (
            "ActiveState=activating\nSubState=auto-restart\nExecMainCode=1\nExecMainStatus=5",
            False,
            "exit code 5; it is st",
        ),
        (
            "ActiveState=activating\nSubState=auto-restart\nExecMainCode=2\nExecMainStatus=9",
            False,
            "killed by signal 9",
        ),
        (
            "ActiveState=failed\nSubState=failed\nExecMainCode=0\nExecMainStatus=0\nResult=resources",
            False,
            "(resources)",
        ),
        ("ActiveState=activating\nSubState=start", False, "starting"),
        ("ActiveState=deactivating\nSubState=stop-sigterm", False, "stopping"),
        ("ActiveState=reloading\nSubState=reload", True, "running"),
        ("ActiveState=inactive\nSubState=dead", False, "stopped"),
    ],
)
def test_what_systemd_shows_in_words(told: str, running: bool, detail: str) -> None:
    """For people who do not know its words."""
    status = status_of(f"LoadState=loaded\nUnitFileState=enabled\n{told}\n")
    assert (status.running, detail in status.detail) == (running, True), status.detail


def test_a_file_that_systemd_cannot_use_and_one_that_is_not_there() -> None:
    """Masked, for instance."""
    assert "(masked)" in status_of("LoadState=masked\nActiveState=inactive").detail
    assert not status_of("LoadState=not-found\nActiveState=inactive").installed


def test_a_systemd_that_does_not_answer(bench: Bench) -> None:
    """Looking never fails."""
    Systemd().install(worker(bench.relayq_home), bench.effects())
    bench.set(user="offline")
    status = Systemd().status("worker")
    assert (status.installed, status.running) == (True, False)
    assert "does not answer: Failed to connect" in status.detail


@pytest.mark.parametrize(("said", "runs"), [("running", True), ("degraded", True), ("offline", False)])
def test_systemd_runs_a_machine_that_it_has_booted(bench: Bench, said: str, runs: bool) -> None:
    """Its commands are in many a container; that something else has failed there is another matter."""
    bench.set(system=said)
    assert systemd.runs_here() is runs
