"""A machine becomes the broker: for real up to systemd, apt and the users of the system, which are stand-ins."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from relayq.embedded_wire import ask
from relayq.errors import SetupError
from relayq.setup import access, broker
from relayq.store.access import Access, Scope
from relayq.store.admin import Admin
from tests.conftest import free_port
from tests.unit.setup_stubs import ADDRESS, Machine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a broker is set up on Debian and Ubuntu only")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    machine = Machine(tmp_path, monkeypatch)
    yield machine
    machine.close()


def set_up(machine: Machine, *, dry_run: bool = False, **wishes: object) -> None:
    given = {"user": "ada", "port": machine.port, "server_port": machine.server_port, **wishes}
    broker.set_up(broker.Wishes(**given), machine.places, machine.effects(dry_run=dry_run))  # type: ignore[arg-type]


def settings_of(machine: Machine) -> dict[str, dict[str, str]]:
    return yaml.safe_load((machine.root / "home/ada/.relayq/config.yml").read_text())  # type: ignore[no-any-return]


def passwords(machine: Machine) -> access.Access:
    found = access.kept(machine.places.config)
    assert found is not None
    return found


def test_a_machine_becomes_the_broker_and_a_second_run_changes_nothing(machine: Machine) -> None:
    """The whole of it: who may is let in, on loopback and the Tailscale address; nobody else is, nowhere."""
    set_up(machine)
    known = passwords(machine)
    for host in ("127.0.0.1", ADDRESS):
        assert ask(machine.port, known.admin, "ACL", "WHOAMI", host=host, user="admin") == "admin"
        assert ask(machine.port, known.submitter, "PING", host=host, user="submitter") == "+PONG"
        assert ask(machine.port, None, "PING", host=host).startswith("-NOAUTH")
    assert ask(machine.port, known.submitter, "CONFIG", "GET", "dir", user="submitter").startswith("-NOPERM")
    with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.3", machine.port), timeout=2):
        pass
    with urllib.request.urlopen(f"http://127.0.0.1:{machine.server_port}/version") as answer:
        assert json.load(answer)["wheel"] == "relayq-2.0.0-py3-none-any.whl"
    assert settings_of(machine)["broker"]["url"] == known.url("submitter", machine.port)
    assert settings_of(machine)["broker"]["admin_url"] == known.url("admin", machine.port)
    modes = {path: path.stat().st_mode & 0o777 for path in machine.root.rglob("config.yml")}
    assert sorted(modes.values()) == [0o600, 0o640]
    assert not [text for text in machine.said if known.admin in text or known.submitter in text]
    assert known.admin not in "".join(text for name, text in machine.files().items() if not name.endswith("config.yml"))
    before = machine.files()
    set_up(machine)
    assert [line for line in machine.said if line.startswith("  ")] == []
    assert machine.calls() == []
    assert machine.files() == before


def test_the_first_run_shows_a_token_for_the_dashboard_once(machine: Machine) -> None:
    """With which its owner signs in; the broker keeps its hash only."""
    set_up(machine)
    [line] = [line for line in machine.said if "sign in with the token" in line]
    secret = line.rpartition(" ")[2]
    with closing(Admin(passwords(machine).url("admin", machine.port))) as admin:
        token = Access(admin).token(secret)
        assert token is not None
        assert (token.name, token.scope) == ("owner", Scope.FULL)
    assert secret not in "".join(machine.files().values())
    set_up(machine)
    assert [line for line in machine.said if "sign in with the token" in line] == []
    assert "relayq dashboard" in machine.said[-2]


def test_a_dry_run_shows_all_of_it_and_touches_nothing(machine: Machine) -> None:
    """Whoever pipes a script into a shell should be able to see first what it does."""
    before = machine.files()
    set_up(machine, dry_run=True)
    assert machine.files() == before
    assert machine.calls() == []
    told = "\n".join(machine.said)
    for fact in (
        "+appendonly yes",
        "+maxmemory-policy noeviction",
        "redis-server@relayq",
        "users.acl",
        "relayq-server",
    ):
        assert fact in told
    assert "redis://" not in told


def test_everything_in_the_way_is_named_at_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is touched: whoever mends one thing should not learn of the next only then."""
    before = machine.files()
    with socket.create_server(("127.0.0.1", machine.port)), socket.create_server(("127.0.0.1", machine.server_port)):
        monkeypatch.setattr("os.geteuid", lambda: 1000)
        with pytest.raises(SetupError) as caught:
            set_up(machine)
    said = str(caught.value)
    assert f"port {machine.port} is used by" in said
    assert f"port {machine.server_port} is used by" in said
    assert "--server-port" in said
    assert "needs root" in said
    assert machine.files() == before


def test_new_passwords_replace_the_old_and_machines_that_joined_stay(machine: Machine) -> None:
    """Redis has written its users since; nobody but those two may notice, and data survive the restart."""
    set_up(machine)
    old = passwords(machine)
    admin = Admin(old.url("admin", machine.port))
    admin.put_user("worker-rpi", "worker", "a" * 64)
    admin.do("SET", "relayq:kept", "1")
    admin.close()
    set_up(machine, rotate_password=True)
    new = passwords(machine)
    assert (new.admin, new.submitter) != (old.admin, old.submitter)
    assert ask(machine.port, old.admin, "PING", user="admin").startswith("-WRONGPASS")
    with_new = Admin(new.url("admin", machine.port))
    assert "worker-rpi" in with_new.users()
    assert with_new.do("GET", "relayq:kept") == "1"
    with_new.close()
    assert settings_of(machine)["broker"]["admin_url"] == new.url("admin", machine.port)
    assert "systemctl restart redis-server@relayq.service" in machine.calls()


def test_a_restart_that_loses_data_is_not_called_a_success(machine: Machine) -> None:
    """It is looked for exactly when Redis is restarted."""
    set_up(machine)
    conf = machine.root / "etc/redis/redis-relayq.conf"
    conf.write_text(conf.read_text().replace("appendonly yes", "appendonly no"))
    with pytest.raises(SetupError, match="lost data"):
        set_up(machine)


def test_an_edited_configuration_is_kept_and_used(machine: Machine) -> None:
    """The new one is put beside it."""
    set_up(machine)
    conf = machine.root / "etc/redis/redis-relayq.conf"
    conf.write_text(conf.read_text() + "maxclients 77\n")
    set_up(machine, maxmemory_bytes=256 << 20)
    assert "maxclients 77" in conf.read_text()
    assert f"maxmemory {256 << 20}" in conf.with_name("redis-relayq.conf.new").read_text()
    found = Admin(passwords(machine).url("admin", machine.port))
    assert found.do("CONFIG", "GET", "maxclients")[1] == "77"
    found.close()


def test_a_missing_address_is_no_obstacle_and_is_taken_up_later(machine: Machine) -> None:
    """Tailscale may come after us, and may name an address that cannot be used yet."""
    machine.say_tailnet(None)
    set_up(machine)
    assert any("logged out" in line for line in machine.said)
    bind = machine.root / "var/lib/redis-relayq/bind.conf"
    assert bind.read_text() == "bind 127.0.0.1\n"
    machine.say_tailnet("198.51.100.7")  # not this machine's
    set_up(machine)
    assert bind.read_text() == "bind 127.0.0.1\n"
    machine.say_tailnet(ADDRESS)
    set_up(machine)
    assert bind.read_text() == f"bind 127.0.0.1 {ADDRESS}\n"
    assert ask(machine.port, None, "PING", host=ADDRESS).startswith("-NOAUTH")


def test_what_its_owner_wrote_into_config_yml_stays(machine: Machine) -> None:
    """A file of relayq 1.x, too, whose broker is replaced and kept beside it."""
    home = machine.root / "home/ada/.relayq"
    home.mkdir()
    old = "# mine\nbroker: {host: 100.103.45.61, port: 6379}\nworker:\n  max_concurrent: 3 # not more\n"
    (home / "config.yml").write_text(old)
    set_up(machine)
    text = (home / "config.yml").read_text()
    assert text.startswith("# mine\n")
    assert "  max_concurrent: 3 # not more\n" in text
    assert "100.103.45.61" not in text
    assert (home / "config.yml.before-relayq").read_text() == old
    set_up(machine)
    assert (home / "config.yml").read_text() == text


def test_where_the_distribution_has_no_fit_redis_our_own_unit_runs_the_package_s(machine: Machine) -> None:
    """Ubuntu 22.04 has Redis 6.0."""
    (machine.root / "usr/bin/redis-server").unlink()
    machine.stub("apt-cache", "print('  Candidate: 5:6.0.16-1ubuntu1')")
    set_up(machine)
    unit = (machine.root / "etc/systemd/system/relayq-redis.service").read_text()
    assert f"ExecStart={machine.root}/opt/relayq/current/bin/valkey-server" in unit
    assert not [call for call in machine.calls() if "apt-get" in call]
    assert ask(machine.port, None, "PING").startswith("-NOAUTH")
    set_up(machine)
    assert machine.calls() == []


def test_the_package_is_installed_without_starting_a_redis_of_its_own(machine: Machine) -> None:
    """On Debian it would take port 6379 before ours is there."""
    server = (machine.root / "usr/bin/redis-server").readlink()
    (machine.root / "usr/bin/redis-server").unlink()
    machine.stub(
        "apt-get", f"note()\nif 'install' in argv: (root / 'usr/bin/redis-server').symlink_to({str(server)!r})"
    )
    machine.stub(
        "dpkg-query", "print('base-files')\nif (root / 'usr/bin/redis-server').exists(): print('redis-server')"
    )
    set_up(machine)
    calls = [call for call in machine.calls() if "apt-get" in call or " redis-server.service" in call]
    assert [call.split()[1] for call in calls if call.startswith("systemctl")] == ["mask", "unmask", "disable"]
    assert calls[0].startswith("systemctl mask")
    assert "DPkg::Lock::Timeout" in calls[1]
    assert machine.effects().receipt.packages == ["redis-server"]


OLD_SCRIPT = "#!/bin/sh\n# relayq health\nredis-cli ping || systemctl restart redis-server\n"


@pytest.fixture
def old_machine(machine: Machine) -> Iterator[Machine]:
    """With relayq 1.x: an open Redis that Celery used, a timer and a cron job that restart it."""
    etc = machine.root / "etc"
    (machine.root / "usr/local/bin/check-redis.sh").write_text(OLD_SCRIPT)
    (etc / "systemd/system/redis-monitor.service").write_text("[Service]\nExecStart=/usr/local/bin/check-redis.sh\n")
    (etc / "systemd/system/redis-monitor.timer").write_text("[Timer]\nOnUnitActiveSec=60\n")
    (etc / "systemd/system/other.service").write_text("[Service]\nExecStart=/usr/bin/redis-cli ping\n")
    (etc / "cron.d").mkdir()
    (etc / "cron.d/relayq").write_text("PATH=/usr/bin\n*/5 * * * * root /usr/local/bin/check-redis.sh\n")
    conf = etc / "redis/redis.conf"
    conf.write_text(f"bind 0.0.0.0\nprotected-mode no\nport {machine.port}\ndir {machine.root}\n")
    unit = f"[Service]\nExecStart={machine.root}/usr/bin/redis-server {conf}\n"
    (machine.root / "lib/systemd/system/redis-server.service").write_text(unit)
    subprocess.run(["systemctl", "enable", "--now", "redis-server.service"], check=True)
    subprocess.run(["systemctl", "enable", "redis-monitor.timer"], check=True)
    return machine


def test_relayq_1_is_named_and_left_alone_without_a_yes(old_machine: Machine) -> None:
    """It may be the one that works."""
    before = old_machine.files()
    with pytest.raises(SetupError) as caught:
        set_up(old_machine)
    said = str(caught.value)
    for name in ("redis-monitor.timer", "cron.d/relayq", "protected-mode no", "bind 0.0.0.0", "--yes"):
        assert name in said
    assert "other.service" not in said
    assert old_machine.files() == before


def test_relayq_1_is_retired_on_a_yes_and_can_be_had_back(old_machine: Machine) -> None:
    """With its configuration, its monitors and its data."""
    etc = old_machine.root / "etc"
    before = {name: text for name, text in old_machine.files().items() if name.startswith(("etc/cron", "etc/systemd"))}
    set_up(old_machine, yes=True)
    calls = old_machine.calls()
    assert "systemctl disable --now redis-monitor.timer" in calls
    assert "systemctl disable --now redis-server.service" in calls
    assert not (etc / "systemd/system/redis-monitor.timer").exists()
    assert "# retired by relayq: */5" in (etc / "cron.d/relayq").read_text()
    assert (etc / "cron.d/relayq").read_text().startswith("PATH=/usr/bin\n")
    assert ask(old_machine.port, None, "PING").startswith("-NOAUTH")
    set_up(old_machine)
    assert old_machine.calls() == []
    subprocess.run(["systemctl", "stop", "redis-server@relayq.service"], check=True)
    subprocess.run(["sh", old_machine.places.home / "retired/bring-back.sh"], check=True)
    after = old_machine.files()
    assert {name: after.get(name) for name in before} == before
    assert "systemctl enable --now redis-server.service" in old_machine.calls()


def test_two_brokers_of_one_machine_keep_out_of_each_other_s_way(machine: Machine) -> None:
    """A Redis that is no relayq's stays, and keeps its port."""
    with socket.create_server(("127.0.0.1", machine.port)):
        with pytest.raises(SetupError, match="--port"):
            set_up(machine)
        set_up(machine, port=free_port())
