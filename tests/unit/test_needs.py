"""Tests that lack something: skipped on somebody's machine, failures in CI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = """
import pytest
def test_lacks(): pytest.skip("no such program: apt install it")
@pytest.mark.skipif(True, reason="needs what is not here")
def test_lacks_too(): pass
def test_is_long(): pytest.skip("by hand: takes an hour")
"""


def outcome(file: Path, **env: str) -> tuple[int, str]:
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:valkey", "-p", "no:cacheprovider"]
    without = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PYTEST")}
    done = subprocess.run([*argv, file], cwd=ROOT, env=without | env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_what_is_missing_is_a_failure_in_ci_and_only_there(tmp_path: Path) -> None:
    """Nobody reads what was skipped. What nobody could install is skipped there, too."""
    file = tmp_path / "test_of_needs.py"
    file.write_text(TESTS)
    code, said = outcome(file)
    assert (code, "3 skipped" in said) == (0, True), said
    code, said = outcome(file, CI="true")
    assert (code, "1 failed, 1 skipped, 1 error" in said) == (1, True), said
    assert "no such program: apt install it" in said
