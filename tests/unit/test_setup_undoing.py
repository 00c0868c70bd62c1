"""Upgrade, rollback and uninstall: the way on, the way back, and the way out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from relayq import service
from relayq.cli.app import cli
from relayq.client import Client
from relayq.config import load
from relayq.errors import SetupError
from relayq.setup import broker, canary, installation, uninstall, upgrade, worker
from relayq.store.admin import Admin
from relayq.store.redis import RedisStore
from tests.conftest import wait_until
from tests.unit.setup_stubs import Machine
from tests.unit.test_setup_worker import Pair, pair  # noqa: F401 - a fixture

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the stand-in for systemctl reads /proc")


@pytest.fixture
def vm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A broker that is set up, and what was there before."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    machine = Machine(tmp_path, monkeypatch)
    set_up(machine)
    yield machine
    monkeypatch.undo()
    machine.close()


def set_up(machine: Machine) -> None:
    wishes = broker.Wishes(user="ada", port=machine.port, server_port=machine.server_port)
    broker.set_up(wishes, machine.places, machine.effects())


def remove(machine: Machine, *, purge: bool = False, dry_run: bool = False) -> None:
    home = machine.root / "home/ada/.relayq"
    uninstall.broker_of(machine.places, machine.effects(dry_run=dry_run), purge=purge, home=home)


def everything(machine: Machine) -> set[str]:
    logs = {".log"}
    return {str(p.relative_to(machine.root)) for p in machine.root.rglob("*") if p.suffix not in logs}


def test_a_purged_broker_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly what was there before is there after."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    machine = Machine(tmp_path, monkeypatch)
    program = (machine.root / "opt/relayq").relative_to(machine.root)
    before = {name for name in everything(machine) if not name.startswith(str(program))}
    set_up(machine)
    remove(machine, purge=True)
    assert everything(machine) == before
    calls = machine.calls()
    assert "systemctl disable --now redis-server@relayq.service" in calls
    assert "userdel relayq" in calls
    assert not [call for call in calls if "apt-get" in call]
    machine.close()


def test_an_uninstalled_broker_keeps_its_data_and_comes_back_with_them(vm: Machine) -> None:
    """Jobs, machines and passwords: whoever installs again goes on as before."""
    settings = load({"RELAYQ_HOME": str(vm.root / "home/ada/.relayq")})
    assert settings.admin_url
    with closing(Admin(settings.admin_url)) as admin:
        admin.put_user("worker-pi", "worker", "a" * 64)
        admin.do("SET", "relayq:kept", "1")
    remove(vm)
    left = everything(vm)
    assert "etc/redis/redis-relayq.conf" not in left
    assert "opt/relayq" not in left
    assert "var/lib/redis-relayq/users.acl" in left
    assert not [call for call in vm.calls() if "userdel" in call]
    vm.install("2")
    set_up(vm)
    assert load({"RELAYQ_HOME": str(vm.root / "home/ada/.relayq")}).admin_url == settings.admin_url
    with closing(Admin(settings.admin_url)) as admin:
        assert admin.do("GET", "relayq:kept") == "1"
        assert "worker-pi" in admin.users()


def test_a_dry_run_of_uninstalling_touches_nothing(vm: Machine) -> None:
    """It says all of it."""
    before = vm.files()
    remove(vm, purge=True, dry_run=True)
    assert vm.files() == before
    assert vm.calls() == []
    told = "\n".join(vm.said)
    for word in ("redis-server@relayq", "/var/lib/redis-relayq", "userdel", "/opt/relayq"):
        assert word in told


def test_packages_go_only_if_they_came_with_us_and_nobody_needs_them(vm: Machine) -> None:
    """Somebody may have come to use them."""
    effects = vm.effects()
    effects.receipt.note_package("redis-server")
    vm.stub("apt-get", "note()\nif '-s' in argv: print('Purg redis-server [1]\\nRemv their-app [2]')")
    remove(vm, purge=True)
    assert not [call for call in vm.calls() if "-y purge" in call]
    assert any("their-app" in line for line in vm.said)


def test_what_was_edited_or_is_not_ours_stays(vm: Machine) -> None:
    """A config.yml from before comes back; a file of somebody else in our folder keeps the folder."""
    home = vm.root / "home/ada/.relayq"
    (home / "notes.txt").write_text("mine")
    remove(vm, purge=True)
    assert [path.name for path in home.iterdir()] == ["notes.txt"]


def test_a_removed_worker_gives_its_jobs_back_and_leaves_the_list(pair: Pair) -> None:  # noqa: F811
    """And nothing of it stays but its settings, or nothing at all."""
    share = pair.places.prefix.parent
    before = {name for name in everything(pair.machine) if "/.local" not in name}
    notes = "".join(f"folder {folder}\n" for folder in (pair.places.prefix, share, share.parent))
    (pair.places.venvs / "1/made").write_text(notes)  # as the script leaves it
    settings = pair.set_up(token=pair.token(name="pi"))
    client = Client(settings)
    job = client.run("sleep 60", on="pi")
    wait_until(lambda: job.state == "running", describe=lambda: job.state)
    pair.undo_user()  # supervisors are found by whose they are
    uninstall.worker_of(pair.places, pair.effects(), purge=False)
    with closing(RedisStore(pair.admin_url)) as store:
        assert [w.info.name for w in store.workers()[1]] == []
    assert job.state == "queued"
    left = everything(pair.machine) - before
    assert {name.split("/")[2] for name in left} == {".relayq"}
    assert "home/ada/.relayq/config.yml" in left
    uninstall.worker_of(pair.places, pair.effects(), purge=True)
    assert everything(pair.machine) == before


# ── on and back ──


@pytest.fixture
def joined(pair: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pair:  # noqa: F811
    """A worker at version 1, and a broker that has version 2; the script is a stand-in that installs version 2."""
    pair.set_up(token=pair.token(name="pi"))
    (pair.vm.root / "opt/relayq/venvs/1/wheel/relayq-2.0.0-py3-none-any.whl").rename(
        pair.vm.root / "opt/relayq/venvs/1/wheel/relayq-2.1.0-py3-none-any.whl"
    )
    (pair.vm.root / "opt/relayq/venvs/1/wheel/relayq-2.1.0-py3-none-any.whl").write_text("2")
    first = pair.places.venvs / "1"
    pair.install("2", "2.1.0")
    pair.machine.be(first)
    script = tmp_path / "install-worker.sh"
    script.write_text(
        f"echo $RELAYQ_SERVER >{tmp_path}/server\n"
        f"ln -sfn {pair.places.venvs}/2 {pair.places.current}; ln -sfn {first} {pair.places.previous}\n"
        "systemctl --user restart relayq-worker.service\n"
        f"cat {tmp_path}/trouble >&2 && exit 1 || exit 0\n"
    )
    monkeypatch.setattr(installation, "script", lambda _: script)
    monkeypatch.setenv("RELAYQ_HOME", str(pair.home))
    return pair


def current(pair: Pair) -> str:  # noqa: F811
    return pair.places.current.readlink().name


def test_an_upgrade_asks_the_broker_and_runs_its_installer(joined: Pair, tmp_path: Path) -> None:
    """Once: what is here already is not installed again."""
    assert upgrade.upgrade(installation.find(), joined.effects())
    assert current(joined) == "2"
    assert (tmp_path / "server").read_text().strip() == joined.server
    assert any("from 2.0.0 to 2.1.0" in line for line in joined.machine.said)
    assert not upgrade.upgrade(installation.find(), joined.effects())


def test_an_upgrade_that_does_not_prove_itself_is_undone(joined: Pair, tmp_path: Path) -> None:
    """By itself, and the version before is seen to work."""
    (tmp_path / "trouble").write_text("relayq: a first job was sent to pi, and it never came back\n")
    with pytest.raises(SetupError, match=r"runs again.*never came back"):
        upgrade.upgrade(installation.find(), joined.effects())
    assert current(joined) == "1"
    assert "systemctl --user restart relayq-worker.service" in joined.machine.calls()
    canary.prove(worker.read(joined.home), service.find("worker"))


def test_a_rollback_goes_back_and_forward_again(joined: Pair) -> None:
    """The links change places."""
    upgrade.upgrade(installation.find(), joined.effects())
    for expected in ("1", "2"):
        venv = upgrade.roll_back(installation.find(), joined.effects())
        assert venv.name == current(joined) == expected


def test_without_an_earlier_version_there_is_nothing_to_go_back_to(pair: Pair) -> None:  # noqa: F811
    """A sentence, and nothing moves."""
    pair.set_up(token=pair.token(name="pi"))
    with pytest.raises(SetupError, match="no earlier relayq"):
        upgrade.roll_back(installation.find(), pair.effects())
    assert current(pair) == "1"


def test_what_no_installer_made_is_not_upgraded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A checkout, or pipx."""
    from click.testing import CliRunner

    monkeypatch.setattr(sys, "prefix", str(tmp_path / "x/y"))
    for verb in ("upgrade", "rollback"):
        said = CliRunner().invoke(cli, [verb])
        assert said.exit_code
        assert "no installer" in said.stderr
