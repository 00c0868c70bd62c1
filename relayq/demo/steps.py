"""What the demo shows: each step does one thing for real and tells whether it came out as it should."""

from __future__ import annotations

import json
import math
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from relayq.demo import pihole_log, video
from relayq.demo.nodes import LEASE_FLOOR, MAC, PI, WORKERS
from relayq.demo.power_cut import lose_power
from relayq.demo.stage import Facts, Stage, follow, status_lines, until
from relayq.model import State

ASSETS = Path(__file__).with_name("assets")
JOBS, NAP = 40, 0.5  #: how many jobs are spread, and seconds each takes
TOP = 5  #: blocked domains in the report


def come_up(stage: Stage) -> Facts:
    """Start the broker and the two workers."""
    began = time.monotonic()
    broker = stage.nodes.start_broker()
    stage.screen.line(f"broker: {broker.server.name} {broker.server.version} on 127.0.0.1:{broker.port}")
    for worker in WORKERS:
        stage.nodes.start_worker(worker)

    def all_online() -> bool:
        stage.nodes.check_alive()
        known = stage.client.worker_status()["workers"]
        return all(worker.name in known and known[worker.name]["online"] for worker in WORKERS)

    up = until(all_online, stage.left(25))
    status = stage.client.worker_status()
    slots = sum(worker["slots"] for worker in status["workers"].values())
    return Facts(
        ok=up and slots == sum(worker.slots for worker in WORKERS),
        figures=f"{status['total_workers']} workers with {slots} slots after {time.monotonic() - began:.1f} s",
        details=status_lines(status),
    )


def spread(stage: Stage) -> Facts:
    """Many jobs go to whoever is free."""
    began = time.monotonic()
    handles = stage.client.map([f"sleep {NAP}; echo {n}" for n in range(JOBS)])
    by_worker: Counter[str] = Counter()
    for handle in stage.client.as_completed(handles, timeout=stage.left(25)):
        by_worker[str(handle.result(5).worker)] += 1
        stage.screen.live(f"{by_worker.total()} of {JOBS} jobs have ended")
    took = time.monotonic() - began
    right = all(handle.result(5).stdout == b"%d\n" % n for n, handle in enumerate(handles))
    slots = sum(worker.slots for worker in WORKERS)
    rounds = math.ceil(JOBS / slots)
    return Facts(
        ok=right and all(by_worker[worker.name] for worker in WORKERS) and took < JOBS * NAP / 2,
        figures=f"{JOBS} jobs of {NAP} s in {took:.1f} s",
        details=(
            *(f"{worker.name:12} ran {by_worker[worker.name]:2} on {worker.slots} slots" for worker in WORKERS),
            f"one after another: {JOBS * NAP:.0f} s; at best, {rounds} rounds on {slots} slots: {rounds * NAP:.1f} s",
        ),
    )


def transcode(stage: Stage) -> Facts:
    """A real video becomes smaller: on the Mac, where a rule sends ffmpeg though nobody says so."""
    clip, output = ASSETS / "bigbuckbunny.mp4", stage.nodes.folder_of(MAC) / "small.mp4"
    ffmpeg = video.find_ffmpeg()
    program = stage.nodes.folder_of(MAC) / "ffmpeg"  # by its own name: a wheel's has a longer one
    program.symlink_to(ffmpeg)
    handle = stage.client.run(video.shrink(str(program), clip, output), timeout=60)
    follow(stage, handle, 30, lambda: video.progress(handle.logs(stream=1)))
    result = handle.result(5)
    if result.state is not State.SUCCEEDED:
        return Facts(ok=False, figures=f"ffmpeg failed: {(handle.traceback or '').strip()[-300:]}")
    before, after = video.examine(ffmpeg, clip, stage.left(20)), video.examine(ffmpeg, output, stage.left(20))
    whole = after.frames == before.frames and abs(after.seconds - before.seconds) < 0.2
    return Facts(
        ok=result.worker == MAC.name and whole and (after.codec, after.size) == ("h264", "640x360")
        and after.bytes < before.bytes,
        figures=f"{before.bytes / after.bytes:.1f} times smaller, made on {result.worker}",
        details=(
            "nobody said where: a rule sends ffmpeg to machines labelled heavy",
            f"with {ffmpeg}",
            f"before: {before}",
            f"after:  {after}",
        ),
    )  # fmt: skip


def analyse(stage: Stage) -> Facts:
    """The Pi reads its Pi-hole's log with a script that travels with the job: light work goes to light machines."""
    text, truth = pihole_log.generate()
    log = stage.nodes.folder_of(PI) / "pihole.log"
    log.write_text(text)
    script = (ASSETS / "pihole_report.py").read_bytes()
    argv = [sys.executable, "-", "--json", "--top", str(TOP), str(log)]
    handle = stage.client.run(argv, stdin=script, timeout=60)
    report = json.loads(handle.get(stage.left(20)))
    blocked = sorted(truth.blocked_domains.items(), key=lambda item: (-item[1], item[0]))[:TOP]
    clients = {row["client"]: (row["queries"], row["blocked"]) for row in report["clients"]}
    right = (
        (report["lines"], report["unreadable"], report["queries"]) == (truth.lines, 0, truth.queries)
        and [(row["domain"], row["count"]) for row in report["top_blocked"]] == blocked
        and clients == truth.clients
        and report["busiest_hour"] == {"hour": truth.busiest_hour, "queries": truth.busiest_queries}
    )
    worker = handle.result(5).worker
    top, chatty = report["top_blocked"][0], report["clients"][0]
    return Facts(
        ok=right and worker == PI.name,
        figures=f"{report['lines']} lines read on {worker}; every number is {'' if right else 'NOT '}as generated",
        details=(
            f"{report['queries']} queries, {report['blocked_share']:.1%} blocked; "
            f"busiest: {report['busiest_hour']['hour']}, {report['busiest_hour']['queries']} queries",
            "nobody said where: light work goes to light machines first",
            f"most blocked: {top['domain']}, {top['count']} times",
            f"most asking:  {chatty['client']}, {chatty['queries']} queries, {chatty['blocked_share']:.1%} blocked",
        ),
    )


def look(stage: Stage) -> Facts:
    """Everything is at rest again."""
    until(lambda: not stage.client.worker_status()["total_active"], stage.left(5))
    status = stage.client.worker_status()
    ended = status["jobs"][State.SUCCEEDED]
    return Facts(
        ok=status["total_active"] == status["total_queued"] == 0
        and all(worker["online"] for worker in status["workers"].values()),
        figures=f"{ended} jobs have succeeded, none runs, none waits",
        details=status_lines(status),
    )


#: What each step is called, what is to be known of it, and the step.
STEPS: tuple[tuple[str, str, Callable[[Stage], Facts]], ...] = (
    ("Three nodes come up", "stand-ins on this machine: real processes, each with its own folder", come_up),
    (f"{JOBS} jobs find free slots by themselves", f'job.map(["sleep {NAP}; echo 0", …])', spread),
    ("The Mac transcodes a video", 'job.run(["ffmpeg", "-i", "bigbuckbunny.mp4", …])', transcode),
    ("The Pi reads its Pi-hole's log", 'job.run(["python3", "-", …, "pihole.log"], stdin=script)', analyse),
    ("How the machines are", "job.worker_status()", look),
    (
        "The Mac loses power in the middle of a job",
        f"here RELAYQ_LEASE_FLOOR={LEASE_FLOOR:g}s; normally a silent machine is given 15 s",
        lose_power,
    ),
)
