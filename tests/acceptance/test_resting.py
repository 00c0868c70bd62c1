"""Pause, drain and resume, on real workers: what runs goes on, what waits says why."""

from __future__ import annotations

from pathlib import Path

from relayq.model import State
from tests.conftest import wait_until

from .conftest import Fleet
from .test_cli import Shell


def test_a_paused_worker_ends_what_it_runs_and_begins_nothing(fleet: Fleet, tmp_path: Path) -> None:
    """With a note that everybody reads who wonders; resumed, it goes on at once."""
    fleet.start("nas", slots=2)
    shell, go = Shell(tmp_path / "home", fleet.url), tmp_path / "go"
    runs = fleet.client.run(f"until [ -e {go} ]; do sleep 0.05; done; echo done")
    wait_until(lambda: runs.state is State.RUNNING, 10, fleet.logs)
    assert shell("pause", "nas", "--for", "1h", "--note", "moving house").returncode == 0
    waits = fleet.client.run("echo later")
    go.touch()
    assert runs.get(timeout=10) == "done\n"
    assert waits.state is State.QUEUED
    for said in (shell("explain", waits.id).stdout, shell("status").stdout):
        assert "paused" in said
        assert "moving house" in said
    assert shell("resume", "nas").returncode == 0
    assert waits.get(timeout=10) == "later\n"


def test_a_drained_worker_has_nothing_left_and_takes_nothing_new(fleet: Fleet, tmp_path: Path) -> None:
    """`drain --wait` returns when the machine may be switched off; another takes what comes meanwhile."""
    fleet.start("nas", slots=1)
    shell, go = Shell(tmp_path / "home", fleet.url), tmp_path / "go"
    runs = fleet.client.run(f"until [ -e {go} ]; do sleep 0.05; done")
    wait_until(lambda: runs.state is State.RUNNING, 10, fleet.logs)
    assert shell("drain", "nas", "--wait", "0").returncode == 1
    waits = fleet.client.run("echo elsewhere")
    go.touch()
    assert shell("drain", "nas", "--wait", "20").returncode == 0
    assert runs.state is State.SUCCEEDED
    assert shell.json("status")["workers"]["nas"]["state"] == "drained"
    assert waits.state is State.QUEUED
    fleet.start("mac", slots=1)
    assert waits.get(timeout=10) == "elsewhere\n"
    assert waits.job().worker == "mac"
