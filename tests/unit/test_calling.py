"""What to type."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from relayq import calling


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation nobody put on the PATH, run from elsewhere."""
    folder = tmp_path / "my venv" / "bin"
    folder.mkdir(parents=True)
    monkeypatch.setattr(sys, "executable", str(folder / "python3"))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    program = folder / "relayq"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


def test_by_its_name_where_the_shell_finds_it(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in all the documentation."""
    monkeypatch.setenv("PATH", str(program.parent))
    assert calling.command() == "relayq"
    assert calling.examples(("up", "start"), ("run -- echo hello", "run")) == [
        "relayq up                    start",
        "relayq run -- echo hello     run",
    ]


def test_by_its_path_where_it_does_not(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quoted for the shell, and short from the folder in which it was installed."""
    assert calling.command() == f"'{program}'"
    monkeypatch.chdir(program.parents[1])
    assert calling.command() == "bin/relayq"
    assert calling.examples(("down", "stop"))[0].startswith("bin/relayq down ")
    monkeypatch.chdir(program.parent)
    assert calling.command() == "./relayq"


def test_by_python_where_there_is_no_program(program: Path) -> None:
    """A source tree on the PYTHONPATH."""
    program.unlink()
    assert calling.command() == f"'{program.parent}/python3' -m relayq"
