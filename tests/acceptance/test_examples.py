"""The examples run, as they stand, on a real fleet; and so does what USAGE.md says of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .conftest import Fleet

ROOT = Path(__file__).parents[2]


def example(crew: Fleet, name: str, *args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """What a file of examples/ says, run by a machine of its own."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("RELAYQ_")}
    env |= {"RELAYQ_HOME": str(cwd / "home"), "RELAYQ_BROKER_URL": crew.url}
    argv = [sys.executable, str(ROOT / "examples" / name), *args]
    return subprocess.run(argv, env=env, cwd=cwd, capture_output=True, text=True, timeout=100, check=False)


def test_progress(crew: Fleet, tmp_path: Path) -> None:
    """The last line is the result; before it stands how far it was."""
    done = example(crew, "progress.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    *told, result = done.stdout.splitlines()
    assert result == "tidy"
    assert told
    assert all(line in [f"{n * 20}% room {n}" for n in range(1, 6)] for line in told)
