"""Services by launchd: the property list, the order of commands, and what they answer when they fail."""

from __future__ import annotations

import os
import plistlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relayq.errors import SetupError
from relayq.service import Unit, launchd, model
from relayq.service.launchd import Launchd
from relayq.service.launchd_plist import plist, render
from relayq.service.launchd_status import status_of
from tests.unit.service_stubs import Bench

LABEL = "com.user.relayq.worker"
OLD_PLIST = b"""<?xml version="1.0"?><plist version="1.0"><dict><key>Label</key><string>com.user.relayq.worker</string>
<key>ProgramArguments</key><array><string>/usr/local/bin/celery</string></array></dict></plist>"""

#: The keys we use, as launchd.plist(5) has them.
KEYS: dict[str, Any] = {
    "Label": str,
    "ProgramArguments": list,
    "EnvironmentVariables": dict,
    "WorkingDirectory": str,
    "Umask": int,
    "RunAtLoad": bool,
    "KeepAlive": bool,
    "ThrottleInterval": int,
    "ExitTimeOut": int,
    "StandardOutPath": str,
    "StandardErrorPath": str,
    "AbandonProcessGroup": bool,
    "LimitLoadToSessionType": list,
    "UserName": str,
    "ProcessType": str,
    "Nice": int,
    "LowPriorityIO": bool,
}
PRINTED = """\
gui/501/com.user.relayq.worker = {
	active count = 1
	path = /Users/ann/Library/LaunchAgents/com.user.relayq.worker.plist
	type = LaunchAgent
	state = running

	program = /Users/ann/.local/share/relayq/current/bin/relayq
	arguments = {
		/Users/ann/.local/share/relayq/current/bin/relayq
		worker
	}

	environment = {
		PATH => /usr/bin:/bin
		state = confusing
		pid = 1
	}

	domain = gui/501 [100005]
	minimum runtime = 10
	exit timeout = 15
	runs = 3
	pid = 4242
	immediate reason = semaphore
	last exit code = 1

	spawn type = interactive (4)
	properties = keepalive | runatload | inferred program
}
"""


def worker(home: Path = Path("/Users/ann/.relayq"), **options: Any) -> Unit:
    argv = ("/Users/ann/.local/share/relayq/current/bin/relayq", "worker", "--no-restart")
    return Unit(name="worker", argv=argv, description="relayq worker", home=home, **options)


def server() -> Unit:
    return Unit(name="server", argv=("/opt/relayq/current/bin/relayq", "server"), description="", home=Path("/r"))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(launchd, "DAEMONS", tmp_path / "Library/LaunchDaemons")
    monkeypatch.setattr(launchd, "PATIENCE", 5.0)
    monkeypatch.setattr(launchd, "refuse_root", lambda _: None)  # tests run as anybody
    return Bench(tmp_path, monkeypatch)


@pytest.fixture
def agent(bench: Bench) -> Path:
    """Where the agent's file is."""
    return bench.home / "Library/LaunchAgents" / f"{LABEL}.plist"


GUI, USER = f"gui/{os.geteuid()}", f"user/{os.geteuid()}"

# ── the property list ──


@pytest.mark.parametrize("system", [False, True])
@pytest.mark.parametrize("unit", [worker(), worker(nice=10, user="ann"), server()], ids=["plain", "nice", "server"])
def test_the_property_list_is_one_that_launchd_understands(unit: Unit, system: bool) -> None:
    """It ignores a misspelt key, and refuses a wrong type with "5: Input/output error"."""
    home = Path("/Users/ann")
    read = plistlib.loads(render(unit, system=system, owner_home=home).encode())
    assert read == plist(unit, system=system, owner_home=home)
    for key, value in read.items():
        assert type(value) is KEYS[key], key
    assert read["Label"] == f"com.user.relayq.{unit.name}"
    (file,) = Launchd(system=system).files(replace(unit, user=None))
    assert file.name == f"{read['Label']}.plist"
    paths = [
        read["ProgramArguments"][0],
        *(value for key, value in read.items() if key.endswith(("Path", "Directory"))),
    ]
    assert all(path.startswith("/") for path in paths)
    assert all(type(v) is str for v in (*read["EnvironmentVariables"].values(), *read["ProgramArguments"]))
    assert read["StandardErrorPath"] == f"/Users/ann/Library/Logs/relayq/{unit.name}.log"
    assert read["KeepAlive"]
    assert read["RunAtLoad"]
    assert "/opt/homebrew/bin:" in read["EnvironmentVariables"]["PATH"]
    assert not [key for key in read["EnvironmentVariables"] if "URL" in key or "PASSWORD" in key]


def test_a_workers_jobs_and_its_log_are_looked_after() -> None:
    """launchd would end the jobs with it, and let the log grow for ever."""
    read = plist(worker(), system=False, owner_home=Path("/Users/ann"))
    assert read["AbandonProcessGroup"]
    assert read["EnvironmentVariables"]["RELAYQ_LOG_FILE"] == read["StandardErrorPath"]
    own = plist(worker(log_file=Path("/var/log/w")), system=False, owner_home=Path("/Users/ann"))
    assert "RELAYQ_LOG_FILE" not in own["EnvironmentVariables"]
    assert "Umask" not in read


def test_an_agent_may_start_without_a_screen_and_a_daemon_has_a_user() -> None:
    """The one needs a login at the screen or by SSH, the other none."""
    agent = plist(worker(user="ann"), system=False, owner_home=Path("/Users/ann"))
    assert agent["LimitLoadToSessionType"] == ["Aqua", "Background"]
    assert "UserName" not in agent
    daemon = plist(worker(user="ann"), system=True, owner_home=Path("/Users/ann"))
    assert daemon["UserName"] == "ann"
    assert "LimitLoadToSessionType" not in daemon
    assert daemon["EnvironmentVariables"]["HOME"] == "/Users/ann"


def test_a_worker_is_held_back_only_if_it_is_to_be_polite() -> None:
    """A Mac's processor is what it is there for."""
    assert plist(worker(), system=False, owner_home=Path("/"))["ProcessType"] == "Interactive"
    polite = plist(worker(nice=10), system=False, owner_home=Path("/"))
    assert (polite["ProcessType"], polite["Nice"], polite["LowPriorityIO"]) == ("Standard", 10, True)
    assert polite["EnvironmentVariables"]["RELAYQ_NICE"] == "0"


def test_a_secret_is_refused() -> None:
    """Everybody may read a property list."""
    with pytest.raises(SetupError, match="RELAYQ_JOIN_TOKEN must not stand"):
        render(worker(env={"RELAYQ_JOIN_TOKEN": "x"}), system=False, owner_home=Path("/"))


# ── installing ──


def test_installing_an_agent_loads_it_and_looks_whether_it_is_loaded(bench: Bench, agent: Path) -> None:
    """In the session at the screen, if there is one."""
    assert Launchd().install(worker(bench.relayq_home), bench.effects())
    assert bench.calls() == [f"launchctl bootstrap {GUI} {agent}"]
    assert plistlib.loads(agent.read_bytes())["Label"] == LABEL
    assert (bench.home / "Library/Logs/relayq").is_dir()
    assert bench.receipt.units == [f"launchd-agent {LABEL}"]
    assert bench.receipt.knows(agent)
    assert Launchd().status("worker").running


def test_a_second_installation_changes_and_restarts_nothing(bench: Bench) -> None:
    """Running an installer again is how people repair."""
    Launchd().install(worker(bench.relayq_home), bench.effects())
    bench.calls()
    before = bench.receipt
    assert not Launchd().install(worker(bench.relayq_home), bench.effects())
    assert bench.calls() == []
    assert bench.said == []
    assert bench.receipt == before


def test_a_changed_one_is_taken_out_and_loaded_when_the_old_one_is_gone(bench: Bench, agent: Path) -> None:
    """`bootout` returns before that; loading it meanwhile fails with 5."""
    Launchd().install(worker(bench.relayq_home), bench.effects())
    bench.set(gone_after=3)
    bench.calls()
    assert Launchd().install(worker(bench.relayq_home, nice=5), bench.effects())
    assert bench.calls() == [f"launchctl bootout {GUI}/{LABEL}", f"launchctl bootstrap {GUI} {agent}"]
    effects = bench.effects()
    effects.changed.add("/Users/ann/.local/share/relayq/current")
    assert Launchd().install(worker(bench.relayq_home, nice=5), effects)
    assert len(bench.calls()) == 2


def test_one_that_does_not_go_is_an_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not an endless wait."""
    monkeypatch.setattr(launchd, "PATIENCE", 0.3)
    Launchd().install(worker(bench.relayq_home), bench.effects())
    bench.set(gone_after=10_000)
    with pytest.raises(SetupError, match=r"does not let go of com\.user\.relayq\.worker.*launchctl print"):
        Launchd().install(worker(bench.relayq_home, nice=5), bench.effects())


def test_by_ssh_it_is_loaded_where_no_screen_is_needed(bench: Bench, agent: Path) -> None:
    """125: the session at the screen does not exist. And a second run finds it there."""
    bench.set(domains=["user", "system"])
    assert Launchd().install(worker(bench.relayq_home), bench.effects())
    assert bench.calls() == [f"launchctl bootstrap {GUI} {agent}", f"launchctl bootstrap {USER} {agent}"]
    assert Launchd().status("worker").running
    assert not Launchd().install(worker(bench.relayq_home), bench.effects())
    assert bench.calls() == []


def test_where_no_session_takes_it_it_says_when_it_starts(bench: Bench, agent: Path) -> None:
    """And what would start it without a login. A second run writes nothing new."""
    bench.set(domains=["system"])
    assert Launchd().install(worker(bench.relayq_home), bench.effects())
    last = bench.said[-1]
    assert "125: Domain does not support specified action" in last
    assert "starts at the next login. On a Mac where nobody logs in: relayq service install --system" in last
    status = Launchd().status("worker")
    assert (status.installed, status.running, status.enabled) == (True, False, True)
    assert "next login" in status.detail
    before = agent.stat().st_mtime_ns
    assert not Launchd().install(worker(bench.relayq_home), bench.effects())
    assert agent.stat().st_mtime_ns == before


def test_a_job_that_was_forbidden_once_is_permitted_again(bench: Bench, agent: Path) -> None:
    """`launchctl unload -w` of 1.x's days: loading it fails with 5 until then."""
    bench.set(disabled={f"{GUI}/{LABEL}": True})
    assert Launchd().install(worker(bench.relayq_home), bench.effects())
    assert bench.calls() == [f"launchctl enable {GUI}/{LABEL}", f"launchctl bootstrap {GUI} {agent}"]
    assert Launchd().status("worker").running


def test_a_refusal_that_stays_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """5 for good: tried again for a while, said once."""
    monkeypatch.setattr(launchd, "PATIENCE", 1.5)
    monkeypatch.setattr(Launchd, "_permit", lambda *_: None)
    bench.set(disabled={f"{GUI}/{LABEL}": True})
    assert Launchd().install(worker(bench.relayq_home), bench.effects())
    assert [line for line in bench.said if "bootstrap" in line] == [bench.said[-2]]
    assert "5: Input/output error" in bench.said[-1]
    assert len(bench.calls()) > 1


@pytest.mark.parametrize(("code", "runs"), [(0, False), (5, True)])
def test_an_exit_code_is_not_believed(bench: Bench, code: int, runs: bool) -> None:
    """What `launchctl print` shows is."""
    bench.set(lies=code)
    Launchd().install(worker(bench.relayq_home), bench.effects())
    assert Launchd().status("worker").running is runs
    assert any("does not take" in line for line in bench.said) is not runs
    assert len(bench.calls()) == 1


def test_the_job_of_1x_is_taken_over_and_its_file_kept(bench: Bench, agent: Path) -> None:
    """For whoever goes back. It has the same label, so it must be out before ours is in."""
    agent.parent.mkdir(parents=True)
    agent.write_bytes(OLD_PLIST)
    bench.set(loaded={f"{GUI}/{LABEL}": {"runs": 1, "pid": 1}})
    assert Launchd().install(worker(bench.relayq_home), bench.effects())
    old = agent.with_name(f"{agent.name}.old")
    assert old.read_bytes() == OLD_PLIST
    assert bench.receipt.facts["kept"] == {str(agent): str(old)}
    assert bench.calls() == [f"launchctl bootout {GUI}/{LABEL}", f"launchctl bootstrap {GUI} {agent}"]
    assert "worker" in plistlib.loads(agent.read_bytes())["ProgramArguments"]
    Launchd().uninstall("worker", bench.effects())
    assert old.read_bytes() == OLD_PLIST
    assert not agent.exists()


def test_a_binary_property_list_is_taken_over_too(bench: Bench, agent: Path) -> None:
    """As `plutil` and the Finder write them: not text."""
    agent.parent.mkdir(parents=True)
    agent.write_bytes(binary := plistlib.dumps({"Label": LABEL}, fmt=plistlib.FMT_BINARY))
    assert Launchd().install(worker(bench.relayq_home), bench.effects())
    assert agent.with_name(f"{agent.name}.old").read_bytes() == binary


def test_a_daemon_is_roots_to_command_and_replaces_the_agent(bench: Bench, agent: Path) -> None:
    """Two workers would take the name from each other, and 1.x's agent starts at every login."""
    agent.parent.mkdir(parents=True)
    agent.write_bytes(OLD_PLIST)
    bench.set(loaded={f"{GUI}/{LABEL}": {"runs": 1, "pid": 1}})
    unit = worker(bench.relayq_home, user=_me())
    assert Launchd(system=True).install(unit, bench.effects())
    daemon = bench.folder / "Library/LaunchDaemons" / agent.name
    assert bench.calls() == [f"launchctl bootout {GUI}/{LABEL}", f"sudo launchctl bootstrap system {daemon}"]
    assert not agent.exists()
    assert agent.with_name(f"{agent.name}.old").exists()
    assert plistlib.loads(daemon.read_bytes())["UserName"] == _me()
    assert bench.receipt.units == [f"launchd-daemon {LABEL}"]
    assert Launchd(system=True).status("worker").running


def test_a_dry_run_touches_nothing(bench: Bench, agent: Path) -> None:
    """It says what it would write and command."""
    agent.parent.mkdir(parents=True)
    agent.write_bytes(OLD_PLIST)
    assert Launchd().install(worker(bench.relayq_home), bench.effects(dry_run=True))
    assert bench.calls() == []
    assert agent.read_bytes() == OLD_PLIST
    told = "\n".join(bench.said)
    for part in ("would keep the com.user", "<key>AbandonProcessGroup</key>", f"launchctl bootstrap {GUI}"):
        assert part in told


def test_root_has_no_agent(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no session at the screen, ever."""
    monkeypatch.setattr(launchd, "refuse_root", model.refuse_root)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(SetupError, match=r"a LaunchAgent belongs to a user.*--system"):
        Launchd().install(worker(bench.relayq_home), bench.effects())
    assert not (bench.home / "Library").exists()


# ── afterwards ──


def test_restarting_asks_it_to_end_and_starts_it_at_once(bench: Bench) -> None:
    """Killed, a worker hands nothing over; and launchd would let ten seconds pass."""
    with pytest.raises(SetupError, match="no service relayq-worker"):
        Launchd().restart("worker", bench.effects())
    Launchd().install(worker(bench.relayq_home), bench.effects())
    bench.calls()
    Launchd().restart("worker", bench.effects())
    assert bench.calls() == [f"launchctl kill SIGTERM {GUI}/{LABEL}", f"launchctl kickstart {GUI}/{LABEL}"]
    status = Launchd().status("worker")
    assert (status.running, status.restarts) == (True, 1)


def test_one_that_was_stopped_is_started_by_a_restart(bench: Bench, agent: Path) -> None:
    """Stopping takes it out of launchd until the next login."""
    Launchd().install(worker(bench.relayq_home), bench.effects())
    Launchd().stop("worker", bench.effects())
    assert not Launchd().status("worker").running
    bench.calls()
    Launchd().restart("worker", bench.effects())
    assert bench.calls() == [f"launchctl bootstrap {GUI} {agent}"]


def test_uninstalling_leaves_nothing(bench: Bench) -> None:
    """Nor its logs."""
    Launchd().install(worker(bench.relayq_home), bench.effects())
    logs = bench.home / "Library/Logs/relayq"
    for name in ("worker.log", "worker.log.1"):
        (logs / name).write_text("x")
    bench.calls()
    seen = []
    Launchd().uninstall("worker", bench.effects(), lambda: seen.append(Launchd().status("worker").running))
    assert seen == [False]  # jobs are ended when it takes no new ones
    assert bench.calls() == [f"launchctl bootout {GUI}/{LABEL}"]
    assert [path for path in (bench.home / "Library").rglob("*") if not path.is_dir()] == []
    assert not logs.exists()
    assert bench.receipt.units == []
    assert not Launchd().status("worker").installed


def test_the_log_of_a_daemon_is_its_users(bench: Bench) -> None:
    """Whoever asks."""
    assert Launchd().log_command("worker", 9, True) == [
        "tail", "-n", "9", "-F", str(bench.home / "Library/Logs/relayq/worker.log"),
    ]  # fmt: skip
    file = launchd.DAEMONS / f"{LABEL}.plist"
    file.parent.mkdir(parents=True)
    file.write_text(render(worker(user="ann"), system=True, owner_home=Path("/Users/ann")))
    assert Launchd(system=True).log_command("worker", 9, False)[-1] == "/Users/ann/Library/Logs/relayq/worker.log"
    file.write_text("<plist")
    assert Launchd(system=True).log_command("worker", 9, False)[-1].startswith(str(bench.home))


# ── the state ──


def test_what_launchctl_prints() -> None:
    """Only its own lines: the environment may hold any word."""
    status = status_of(PRINTED, enabled=True)
    assert (status.running, status.pid, status.restarts, status.enabled) == (True, 4242, 2, True)
    ended = status_of(PRINTED.replace("state = running", "state = spawn scheduled", 1), enabled=True)
    assert (ended.running, ended.pid) == (False, None)
    assert ended.detail == "it ended with exit code 1; launchd says: spawn scheduled"
    killed = PRINTED.replace("state = running", "state = not running", 1).replace(
        "last exit code = 1", "last terminating signal = Killed: 9"
    )
    assert "killed by signal Killed: 9" in status_of(killed, enabled=True).detail
    assert status_of("", enabled=False).detail == "launchd says: nothing about its state"


def test_since_when_it_runs_the_process_itself_knows(bench: Bench) -> None:
    """launchd does not say."""
    Launchd().install(worker(bench.relayq_home), bench.effects())
    since = Launchd().status("worker").since  # the stub's pid is ours
    assert since is not None
    assert 0 < time.time() - since < 7 * 86400


def test_one_that_is_loaded_and_does_not_run(bench: Bench) -> None:
    """launchd goes on trying."""
    bench.set(dies=True)
    Launchd().install(worker(bench.relayq_home), bench.effects())
    status = Launchd().status("worker")
    assert (status.installed, status.running) == (True, False)
    assert "exit code 5" in status.detail


def _me() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name
