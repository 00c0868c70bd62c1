"""A machine becomes a worker: a real broker, a real server and a real worker; systemd is a stand-in."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from relayq.config import Settings
from relayq.effects import Effects
from relayq.errors import BrokerUnavailable, SetupError
from relayq.receipt import Receipt
from relayq.setup import access, broker, canary, places, worker
from relayq.setup.places import Places
from relayq.store.admin import Admin
from relayq.store.enrolment import Enrolment
from tests.conftest import wait_until
from tests.unit.setup_stubs import Machine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the stand-in for systemctl reads /proc")


class Pair:
    """The broker's machine, and one that is to work."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("os.geteuid", lambda: 0)
            self.vm = Machine(folder / "vm", patch)
            wishes = broker.Wishes(user="ada", port=self.vm.port, server_port=self.vm.server_port)
            broker.set_up(wishes, self.vm.places, self.vm.effects())
        self.vm_config = self.vm.root / "home/ada/.relayq/config.yml"
        passwords = access.kept(self.vm.places.config)
        assert passwords is not None
        self.admin_url = passwords.url("admin", self.vm.port)
        self.server = f"http://127.0.0.1:{self.vm.server_port}"
        self.machine = Machine(folder / "pi", monkeypatch)
        # A service of root's own is refused; and the tests may be run by root.
        geteuid = os.geteuid
        monkeypatch.setattr("os.geteuid", lambda: 1000)
        self.undo_user = lambda: monkeypatch.setattr("os.geteuid", geteuid)
        monkeypatch.setattr("pwd.getpwuid", lambda _: SimpleNamespace(pw_name="ada", pw_dir=self.machine.person.pw_dir))
        monkeypatch.setenv("PATH", f"{self.places.command.parent}:{os.environ['PATH']}")
        self.install("1")

    @property
    def home(self) -> Path:
        return self.machine.root / "home/ada/.relayq"

    @property
    def places(self) -> Places:
        return places.for_worker(self.home, {})

    @property
    def config(self) -> dict[str, Any]:
        return yaml.safe_load((self.home / "config.yml").read_text())  # type: ignore[no-any-return]

    def install(self, stamp: str, version: str = "2.0.0") -> Path:
        return self.machine.install(stamp, version, prefix="home/ada/.local/share/relayq")

    def token(self, **wishes: Any) -> str:
        with closing(Admin(self.admin_url)) as admin:
            return Enrolment(admin).new_token(**wishes).secret

    def effects(self, *, dry_run: bool = False) -> Effects:
        self.machine.said.clear()
        self.machine.calls()
        receipt = Receipt.load(self.places.receipt, "worker")
        return Effects(receipt, dry_run=dry_run, say=self.machine.said.append, elevate=())

    def set_up(self, *, dry_run: bool = False, **wishes: Any) -> Settings:
        given = {"server": self.server, "profile": "none", **wishes}
        return worker.set_up(worker.Wishes(**given), self.places, self.effects(dry_run=dry_run))

    def close(self) -> None:
        for machine in (self.machine, self.vm):
            machine.close()


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    pair = Pair(tmp_path, monkeypatch)
    yield pair
    monkeypatch.undo()  # supervisors are found by whose they are
    pair.close()


def test_a_machine_joins_and_a_first_job_goes_through_it(pair: Pair) -> None:
    """Only then is it called a worker. The same line pasted again changes nothing."""
    token = pair.token(name="pi", labels=["garage"])
    settings = pair.set_up(token=token, profile="rpi")
    assert settings.worker_name == "pi"
    assert pair.config["worker"] == {"name": "pi", "labels": ["garage", "rpi", "light"], "slots": 4, "nice": 10}
    assert "worker-pi:" in pair.config["broker"]["url"]
    assert (pair.home / "config.yml").stat().st_mode & 0o777 == 0o600
    assert pair.places.current.resolve() == pair.places.venvs / "1"
    assert pair.places.command.resolve() == pair.places.venvs / "1/bin/relayq"
    unit = (pair.machine.root / "home/ada/.config/systemd/user/relayq-worker.service").read_text()
    assert f"ExecStart={pair.places.current}/bin/relayq worker" in unit
    assert "Nice=10" in unit
    assert token not in json.dumps(pair.machine.files()) + json.dumps(pair.machine.said)
    before = {name: text for name, text in pair.machine.files().items() if ".relayq/" not in name or "config" in name}
    pair.set_up(token=token, profile="rpi")
    assert pair.machine.calls() == []
    after = pair.machine.files()
    assert {name: after.get(name) for name in before} == before


def test_another_package_is_what_runs_next(pair: Pair) -> None:
    """The link moves and the service is restarted; the one before is kept, older ones go."""
    pair.set_up(token=pair.token())
    for stamp in ("2", "3"):
        pair.install(stamp)
        pair.set_up()
        assert "systemctl --user restart relayq-worker.service" in pair.machine.calls()
    assert pair.places.current.readlink() == pair.places.venvs / "3"
    assert pair.places.previous.readlink() == pair.places.venvs / "2"
    assert sorted(path.name for path in pair.places.venvs.iterdir()) == ["2", "3"]


def test_a_run_that_broke_off_before_the_restart_is_made_up_for(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the old program would run on, and everything would look right."""
    pair.set_up(token=pair.token())
    pair.install("2")
    with monkeypatch.context() as patch:
        patch.setattr(worker.service, "worker_unit", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pair.set_up()
    pair.set_up()
    assert pair.machine.calls() == ["systemctl --user restart relayq-worker.service"]
    pair.set_up()
    assert pair.machine.calls() == []


def test_a_machine_without_a_token_shows_a_code_and_goes_on_when_it_is_approved(pair: Pair) -> None:
    """Run bare, as 1.x was installed; its old file is understood and kept."""
    pair.home.mkdir()
    old = f"broker: {{host: 127.0.0.1, port: {pair.vm.port}, db: 0}}\nworker:\n  name: rpi4-worker\n  priority: low\n"
    (pair.home / "config.yml").write_text(old)
    done: list[Settings] = []
    thread = threading.Thread(target=lambda: done.append(pair.set_up(profile="rpi")))
    thread.start()

    def code() -> str | None:
        shown = [line for line in pair.machine.said if "token approve" in line]
        return shown[0].split()[-1] if shown else None

    with closing(Admin(pair.admin_url)) as admin:
        Enrolment(admin).approve(str(wait_until(code)))
    thread.join(60)
    assert done[0].worker_name == "rpi4-worker"
    labels = ["rpi", "light"]
    assert pair.config["worker"] == {"name": "rpi4-worker", "priority": "low", "labels": labels, "slots": 4}
    assert "worker-rpi4-worker:" in pair.config["broker"]["url"]
    assert (pair.home / "config.yml.before-relayq").read_text() == old


def test_the_broker_s_own_machine_is_let_in_by_itself(pair: Pair) -> None:
    """Who administers need not approve what he asks."""
    pair.home.mkdir()
    (pair.home / "config.yml").write_text(pair.vm_config.read_text())
    pair.set_up(server=None, name="vm")
    assert "worker-vm:" in pair.config["broker"]["url"]
    assert pair.config["broker"]["admin_url"] == pair.admin_url
    assert "url" not in pair.config["server"]


def test_options_count_for_more_than_the_file_and_the_file_for_more_than_the_profile(pair: Pair) -> None:
    """What somebody wrote there was meant."""
    pair.home.mkdir()
    (pair.home / "config.yml").write_text("worker:\n  max_concurrent: 3  # the fan\n  nice: 5\n  labels: [nas]\n")
    settings = pair.set_up(token=pair.token(), profile="rpi", name="nas", slots=2)
    assert (settings.slots, settings.nice, settings.labels) == (2, 5, ("nas",))
    assert "slots" not in pair.config["worker"]


def test_a_dry_run_of_a_worker_touches_nothing(pair: Pair) -> None:
    """And uses up no token."""
    token, before = pair.token(), pair.machine.files()
    pair.set_up(token=token, dry_run=True)
    assert pair.machine.files() == before
    assert pair.machine.calls() == []
    assert any("would join" in line for line in pair.machine.said)
    pair.set_up(token=token)


def test_a_worker_that_does_not_come_up_is_said_with_its_log(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cause, the log lines and the one command to try."""
    monkeypatch.setattr(canary, "PATIENCE", 2.0)
    program = pair.places.venvs / "1/bin/relayq"
    program.write_text("#!/bin/sh\necho the disk is on fire >&2\nexit 1\n")
    with pytest.raises(SetupError) as caught:
        pair.set_up(token=pair.token(name="pi"))
    said = str(caught.value)
    for part in ("has not come back", "the disk is on fire", "relayq doctor"):
        assert part in said


def test_a_worker_is_mended_while_the_broker_is_away(pair: Pair) -> None:
    """All that is on this machine; that no job could prove it is said at the end, and is no success."""
    pair.set_up(token=pair.token(name="pi"))
    unit = pair.machine.root / "home/ada/.config/systemd/user/relayq-worker.service"
    pair.vm.stop()
    pair.install("2")
    unit.unlink()
    with pytest.raises(BrokerUnavailable, match=r"pi is in order on this machine \(running\).*relayq doctor"):
        pair.set_up(server=None)
    assert pair.places.current.readlink() == pair.places.venvs / "2"
    assert unit.exists()
    with pytest.raises(SetupError, match="does not answer"):
        pair.set_up(token="another")


def test_no_broker_anywhere_is_a_sentence_with_the_line_to_paste(pair: Pair) -> None:
    """Whoever sees it knows what to do next."""
    with pytest.raises(SetupError, match=r"relayq token new.*curl -fsSL"):
        pair.set_up(server=None)
    with pytest.raises(SetupError, match="used up"):
        pair.set_up(token="nonsense")


def test_through_sudo_it_is_refused(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be root's worker."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", "ada")
    with pytest.raises(SetupError, match="without sudo"):
        pair.set_up()
