"""What the doctor says of settings, their secrets, and the installation."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from relayq.config import load
from relayq.doctor import configuration
from relayq.doctor.context import context_for
from relayq.effects import Effects
from relayq.errors import ConfigError
from relayq.receipt import Receipt
from tests.unit.doctor import Machine, levels, machine_at


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return machine_at(tmp_path, monkeypatch)


PASSWORD_FILE = "broker: {host: 100.64.0.11, password: secret}\n"


def test_settings_that_cannot_be_read_are_one_problem_in_their_own_words(machine: Machine) -> None:
    """The other checks go on with what is known without them."""
    (machine.home / "config.yml").write_text("worker: {nmae: x}\n")
    env = {"RELAYQ_HOME": str(machine.home)}
    with pytest.raises(ConfigError) as told:
        load(env)
    context = context_for(env)
    [finding] = configuration.settings(context)
    assert (finding.check, finding.level, finding.sentence) == ("settings", "problem", str(told.value))
    assert (context.settings.home, context.url) == (machine.home, "")


def test_settings_are_read_from_where_they_are(machine: Machine) -> None:
    """With a file and without one."""
    assert "no config.yml" in machine.one(configuration.settings).sentence
    (machine.home / "config.yml").write_text(PASSWORD_FILE)
    assert machine.one(configuration.settings).sentence == str(machine.home / "config.yml")


@pytest.mark.parametrize("text", [PASSWORD_FILE, "broker:\n  url: redis://u:secret@nas/0\n"])
def test_a_password_others_can_read_is_a_problem_that_can_be_mended(machine: Machine, text: str) -> None:
    """Its command and its fix do the same; what the finding says has no password in it."""
    file = machine.home / "config.yml"
    file.write_text(text)
    file.chmod(0o644)
    finding = machine.one(configuration.secrets)
    assert (finding.level, finding.mend) == ("problem", f"chmod 600 {file}")
    assert "secret" not in finding.sentence
    assert finding.fix is not None
    said: list[str] = []
    finding.fix(Effects(Receipt(machine.home / "receipt.json"), say=said.append, elevate=()))
    assert file.stat().st_mode & 0o777 == 0o600
    assert "chmod 600" in said[0]
    assert machine.one(configuration.secrets).level == "ok"


def test_a_file_without_a_password_may_be_read(machine: Machine) -> None:
    """It says nothing that others must not know."""
    file = machine.home / "config.yml"
    file.write_text("worker: {name: w}\n")
    file.chmod(0o644)
    assert machine.one(configuration.secrets).level == "ok"


def test_what_everybody_may_change_is_a_problem(machine: Machine) -> None:
    """Whoever writes the settings chooses whose jobs run here."""
    machine.home.chmod(0o777)
    finding = machine.one(configuration.secrets)
    assert (finding.level, finding.mend) == ("problem", f"chmod o-w {machine.home}")


def test_the_installation_has_what_it_needs(machine: Machine) -> None:
    """As the one that runs these tests, which has no other `relayq` before it."""
    machine.command("relayq", "true")  # a wrapper: where it leads cannot be seen
    assert machine.one(configuration.python).level == "ok"


def test_another_installations_command_is_told(machine: Machine) -> None:
    """Two relayqs on one machine are a riddle to whoever upgrades one of them."""
    file = machine.command("relayq", "")
    file.write_text(f"#!{machine.bin}/python3\nimport relayq\n")
    finding = machine.one(configuration.python)
    assert finding.level == "warning"
    assert str(file) in finding.sentence
    file.write_text(f"#!{Path(sys.executable).parent}/python\nimport relayq\n")
    assert machine.one(configuration.python).level == "ok"


def test_a_missing_or_wrong_library_is_named_with_the_command(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade of something else may have broken what relayq needs."""
    monkeypatch.setattr(
        configuration.metadata, "requires", lambda _: ["click>=999", "no-such-library>=1", 'uvicorn; extra == "server"']
    )
    old, missing = machine.ask(configuration.python)[:2]
    assert (old.level, missing.level) == ("problem", "problem")
    assert old.sentence.startswith("relayq needs click>=999, and it 8.")
    assert missing.mend == f"{sys.executable} -m pip install 'no-such-library>=1'"


def test_a_file_of_root_may_be_for_a_group(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service's settings are root's, readable by the service's group."""
    if os.geteuid() != 0:
        pytest.skip("needs a file of root's")
    file = machine.home / "config.yml"
    file.write_text(PASSWORD_FILE)
    file.chmod(0o640)
    assert levels(machine.ask(configuration.secrets)) == ["problem"]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert levels(machine.ask(configuration.secrets)) == ["ok"]


def test_a_check_that_fails_is_a_finding_that_says_so(machine: Machine) -> None:
    """One broken check must not hide the others."""
    machine.settings = replace(machine.settings, home=None)  # type: ignore[arg-type]
    finding = machine.one(configuration.settings)
    assert (finding.check, finding.level) == ("settings", "warning")
    assert "could not be looked at: TypeError" in finding.sentence
