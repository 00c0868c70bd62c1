"""Which machine a job runs on: real workers that have looked at their machines, and jobs that say nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.conftest import wait_until

from .conftest import Fleet


def bin_of(folder: Path, *programs: str) -> str:
    """A PATH with the shell's needs and these programs, each of which says its name."""
    folder.mkdir()
    for needed in ("sh", "sleep", "cat", "grep", "hostname", "nice", "sort", "uniq"):
        (folder / needed).symlink_to(f"/bin/{needed}" if Path(f"/bin/{needed}").exists() else f"/usr/bin/{needed}")
    for program in programs:
        add(folder, program)
    return str(folder)


def add(folder: Path, program: str) -> None:
    file = folder / program
    file.write_text('#!/bin/sh\necho "${0##*/} version 7.1 on $RELAYQ_TEST_NODE"\n')
    file.chmod(0o755)


def known(fleet: Fleet, name: str) -> dict[str, Any]:
    worker = fleet.client.worker_status()["workers"][name]
    assert isinstance(worker, dict)
    return worker


def test_a_worker_tells_what_its_machine_can_do_and_looks_again_when_asked(fleet: Fleet, tmp_path: Path) -> None:
    """It takes jobs at once; what it has found is there a moment later, and known at the next start."""
    path = bin_of(tmp_path / "bin")
    worker = fleet.start("nas", settings={"PATH": path})
    wait_until(lambda: "python" in known(fleet, "nas")["capabilities"], describe=fleet.logs)
    assert "ffmpeg" not in known(fleet, "nas")["capabilities"]
    assert known(fleet, "nas")["facts"]["cores"] == os.cpu_count()
    add(tmp_path / "bin", "ffmpeg")
    add(tmp_path / "bin", "my-tool")
    argv = [sys.executable, "-m", "relayq", "worker", "reprobe", "nas", "--program", "my-tool"]
    env = {**os.environ, "RELAYQ_BROKER_URL": fleet.url, "RELAYQ_HOME": str(tmp_path / "cli")}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr + fleet.logs()
    assert {"ffmpeg", "my-tool"} <= set(done.stdout.split())
    assert fleet.client.run(["my-tool"], needs=["my-tool", "ffmpeg"]).get(timeout=20).startswith("my-tool version")
    worker.end()
    worker.start()
    fleet.online("nas")
    assert {"ffmpeg", "my-tool", "python"} <= set(known(fleet, "nas")["capabilities"])
    assert {"name": "ffmpeg", "version": "7.1", "works": True, "why_not": None} in known(fleet, "nas")["found"]
