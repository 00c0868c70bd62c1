"""Setup touches a machine in one way only: said, done where something differs, noted."""

from __future__ import annotations

from pathlib import Path

import pytest

from relayq.effects import Effects
from relayq.errors import SetupError
from relayq.receipt import Receipt


class Bench:
    def __init__(self, folder: Path, dry_run: bool = False) -> None:
        self.said: list[str] = []
        self.receipt = Receipt.load(folder / "receipt.json", "worker")
        self.effects = Effects(self.receipt, dry_run=dry_run, say=self.said.append, elevate=())


def test_what_is_there_already_is_neither_said_nor_done_again(tmp_path: Path) -> None:
    """A second run changes nothing, so nothing needs a restart."""
    unit = tmp_path / "etc" / "x.service"
    first = Bench(tmp_path)
    assert first.effects.folder(unit.parent, mode=0o700)
    assert first.effects.file(unit, "[Unit]\n", mode=0o600)
    assert first.effects.link(tmp_path / "current", unit)
    assert (unit.read_text(), unit.stat().st_mode & 0o777) == ("[Unit]\n", 0o600)
    second = Bench(tmp_path)
    assert not second.effects.folder(unit.parent)
    assert not second.effects.file(unit, "[Unit]\n")
    assert not second.effects.link(tmp_path / "current", unit)
    assert second.said == []
    assert second.effects.changed == set()
    assert second.receipt == first.receipt


def test_a_file_its_owner_has_edited_is_kept(tmp_path: Path) -> None:
    """The new text is put beside it."""
    file = tmp_path / "redis.conf"
    Bench(tmp_path).effects.file(file, "port 1\n")
    file.write_text("port 1\n# mine\n")
    later = Bench(tmp_path)
    assert not later.effects.file(file, "port 2\n")
    assert file.read_text() == "port 1\n# mine\n"
    assert (tmp_path / "redis.conf.new").read_text() == "port 2\n"


def test_a_dry_run_shows_the_difference_and_touches_nothing(tmp_path: Path) -> None:
    """But not of a file with a secret in it."""
    file = tmp_path / "a"
    file.write_text("old\n")
    dry = Bench(tmp_path, dry_run=True)
    assert dry.effects.file(file, "new\n")
    dry.effects.file(tmp_path / "b", "password\n", secret=True)
    dry.effects.folder(tmp_path / "c")
    dry.effects.link(tmp_path / "d", file)
    dry.effects.run(["false"], why="fail")
    dry.effects.remove(file)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]
    assert file.read_text() == "old\n"
    told = "\n".join(dry.said)
    assert "-old" in told
    assert "+new" in told
    assert "password" not in told
    assert "would fail: false" in told


def test_a_command_that_fails_is_a_sentence_with_its_words(tmp_path: Path) -> None:
    """Whoever sees it should not have to look for a log."""
    effects = Bench(tmp_path).effects
    with pytest.raises(SetupError, match="no luck"):
        effects.run(["sh", "-c", "echo no luck >&2; exit 3"])
    with pytest.raises(SetupError, match="no command nonesuch"):
        effects.run(["nonesuch"])
    assert effects.run(["sh", "-c", "exit 3"], check=False).returncode == 3
    assert effects.run(["cat"], stdin="x").stdout == "x"


def test_a_link_never_replaces_what_is_not_ours(tmp_path: Path) -> None:
    """It may be somebody's folder."""
    (tmp_path / "current").mkdir()
    with pytest.raises(SetupError, match="in the way"):
        Bench(tmp_path).effects.link(tmp_path / "current", tmp_path)


def test_the_receipt_survives_and_forgets_what_is_removed(tmp_path: Path) -> None:
    """Uninstalling reads it backwards."""
    bench = Bench(tmp_path)
    bench.effects.folder(tmp_path / "venvs")
    bench.effects.file(tmp_path / "venvs" / "x", "1")
    bench.receipt.note_package("redis-server")
    bench.receipt.note_fact("server", "http://vm:7117")
    again = Receipt.load(bench.receipt.path)
    assert (again.role, again.packages, again.facts) == ("worker", ["redis-server"], {"server": "http://vm:7117"})
    Bench(tmp_path).effects.remove(tmp_path / "venvs")
    assert Receipt.load(bench.receipt.path).files == {}
    bench.receipt.path.write_text("{")
    with pytest.raises(SetupError, match="cannot be read"):
        Receipt.load(bench.receipt.path)
