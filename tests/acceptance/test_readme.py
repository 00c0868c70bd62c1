"""The README, typed from its top to its bottom on a new machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_what_the_readme_says_can_be_typed_in_its_order(tmp_path: Path) -> None:
    """With one machine and nothing else; only what it says of several machines needs those."""
    section = README.read_text("utf-8").split("\n## On your machine\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```(sh|python)\n(.*?)```", section, re.DOTALL)
    assert [language for language, _ in blocks] == ["sh", "python", "sh"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("RELAYQ_")}
    env |= {"RELAYQ_HOME": str(tmp_path / "home"), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    said = []
    try:
        for language, text in blocks:
            code = "\n".join(line for line in text.splitlines() if "pip install" not in line)
            argv = ["/bin/sh", "-ec", code] if language == "sh" else [sys.executable, "-c", code]
            done = subprocess.run(argv, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, done.stderr
            said.append(done.stdout + done.stderr)
    finally:
        subprocess.run([sys.executable, "-m", "relayq", "down"], env=env, capture_output=True, check=False, timeout=60)
    first, second, last = said
    assert "hello from " in first
    assert "1 of 1 online" in first
    assert second.startswith("hello\n")
    assert "stopped the worker" in last
