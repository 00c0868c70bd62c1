"""Which machine a job runs on: real workers that have looked at their machines, and jobs that say nothing."""

from __future__ import annotations

import json
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


LOG = "".join(f"dnsmasq: {'gravity blocked' if n % 3 == 0 else 'query'} example{n % 5}.com\n" for n in range(300))
ANALYSIS = "grep -c 'gravity blocked' | { read n; echo $n blocked on $RELAYQ_TEST_NODE; }"


def home(fleet: Fleet, tmp_path: Path, *, mac: bool = True) -> None:
    """A Mac that is heavy and a Pi that is light; both have ffmpeg, and say who they are."""
    for name, labels, there in (("mac-mini", "mac,heavy", mac), ("rpi4-worker", "rpi,light", True)):
        path = bin_of(tmp_path / f"bin-{name}", "ffmpeg", "HandBrakeCLI")
        settings = {"PATH": path, "RELAYQ_TEST_NODE": name}
        if there:
            fleet.start(name, slots=2, labels=labels, settings=settings, wait=False)
    for name in fleet.workers:
        fleet.online(name)
        wait_until(lambda name=name: "ffmpeg" in known(fleet, name)["capabilities"], describe=fleet.logs)


def test_an_ffmpeg_job_without_any_hint_lands_on_the_heavy_node_and_a_log_analysis_on_the_light_one(
    fleet: Fleet, tmp_path: Path
) -> None:
    """Nobody has to say so; and everybody may: a name, a label, a wish."""
    home(fleet, tmp_path)
    for _ in range(3):
        video = fleet.client.run("ffmpeg -i in.mov out.mp4")
        log = fleet.client.run(ANALYSIS, stdin=LOG)
        assert video.get(timeout=20) == "ffmpeg version 7.1 on mac-mini\n"
        assert log.get(timeout=20) == "100 blocked on rpi4-worker\n"
    assert fleet.client.run_on_rpi("ffmpeg -i in.mov out.mp4").get(timeout=20).endswith("on rpi4-worker\n")
    assert fleet.client.run_on("rpi4-worker", ["ffmpeg", "-i", "x"]).get(timeout=20).endswith("on rpi4-worker\n")
    assert fleet.client.run(ANALYSIS, stdin=LOG, prefer=["heavy"]).get(timeout=20) == "100 blocked on mac-mini\n"


def test_a_busy_heavy_machine_is_waited_for_while_the_light_one_does_the_rest(fleet: Fleet, tmp_path: Path) -> None:
    """And explain says why, in the same words in Python, on the command line and as JSON."""
    home(fleet, tmp_path)
    blockers = [fleet.client.run_on("mac-mini", f"while [ ! -e {tmp_path}/go ]; do sleep 0.1; done") for _ in range(2)]
    wait_until(lambda: known(fleet, "mac-mini")["active_jobs"] == 2, describe=fleet.logs)
    video = fleet.client.run("ffmpeg -i in.mov out.mp4")
    assert fleet.client.run(ANALYSIS, stdin=LOG).get(timeout=20) == "100 blocked on rpi4-worker\n"
    explained = video.explain()
    assert explained.sentence == f"{video.id} waits for a free slot: mac-mini is busy"
    assert explained.machines["rpi4-worker"] == 'rpi4-worker lacks "heavy", which a rule asks for; mac-mini has it'
    env = {**os.environ, "RELAYQ_BROKER_URL": fleet.url, "RELAYQ_HOME": str(tmp_path / "cli")}
    cli = [sys.executable, "-m", "relayq", "explain", video.id]
    assert subprocess.run(cli, env=env, capture_output=True, text=True, check=True).stdout == f"{explained}\n"
    told = subprocess.run([*cli, "--json"], env=env, capture_output=True, text=True, check=True).stdout
    assert json.loads(told)["machines"] == explained.machines
    dry = [sys.executable, "-m", "relayq", "run", "--dry-run", "--", "ffmpeg -i in.mov out.mp4"]
    shown = subprocess.run(dry, env=env, capture_output=True, text=True, check=True).stdout
    assert shown.splitlines() == [
        "it would wait for a free slot: mac-mini is busy",
        "  mac-mini is busy: 2 of 2 slots in use",
        '  rpi4-worker lacks "heavy", which a rule asks for; mac-mini has it',
    ]
    (tmp_path / "go").touch()
    assert video.get(timeout=20) == "ffmpeg version 7.1 on mac-mini\n"
    assert all(blocker.result(timeout=20).exit_code == 0 for blocker in blockers)


def test_without_a_heavy_machine_the_rule_is_dropped(fleet: Fleet, tmp_path: Path) -> None:
    """Never a refusal: the Pi alone does what it can, from the first job on."""
    home(fleet, tmp_path, mac=False)
    assert fleet.client.run("ffmpeg -i in.mov out.mp4").get(timeout=20) == "ffmpeg version 7.1 on rpi4-worker\n"
    assert fleet.client.run("blender -b scene").result(timeout=20).exit_code == 127
    forecast = fleet.client.foresee("ffmpeg -i in.mov out.mp4")
    assert (forecast.order, forecast.refused) == (("rpi4-worker",), False)
    assert "none has been online in the last 10 minutes" in forecast.sentence
