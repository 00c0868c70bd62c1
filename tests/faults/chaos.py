"""Random faults over a stream of jobs, and what came of them: nothing may be lost, ended twice or run twice at once."""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from . import invariants, processes
from .fleet import Fleet
from .machines import since_boot
from .schedule import NODES, Fault, schedule
from .stream import Stream

PATIENCE = 60.0  #: seconds without the end of any job after which something is stuck


@dataclass
class Report:
    """What is printed."""

    seed: int
    lease_floor: float
    faults: Counter[str] = field(default_factory=Counter)
    attempts: Counter[int] = field(default_factory=Counter)  #: how many jobs had so many
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    overlapping: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)  #: histories that contradict themselves, processes left or dead
    timeline: list[str] = field(default_factory=list)  #: what was done when, in seconds since boot as in the records
    recoveries: list[float] = field(default_factory=list)  #: seconds until a job ran where a fault was over
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether the promise was kept."""
        return not (self.lost or self.twice or self.overlapping or self.other)

    def __str__(self) -> str:
        kinds = "".join(f"\n  {n:5} {kind}" for kind, n in sorted(self.faults.items()))
        tries = ", ".join(f"{jobs} with {n}" for n, jobs in sorted(self.attempts.items()))
        lines = [
            f"seed {self.seed}, lease floor {self.lease_floor:g} s: {self.faults.total()} faults "
            f"in {self.seconds:.0f} s{kinds}",
            f"jobs {self.attempts.total()} (attempts: {tries})",
            f"lost {len(self.lost)}, finished twice {len(self.twice)}, overlapping executions {len(self.overlapping)}",
        ]
        if len(self.recoveries) > 1:
            cuts = statistics.quantiles(self.recoveries, n=100, method="inclusive")
            lines.append(
                f"time to recovery p50 {cuts[49]:.2f} s, p99 {cuts[98]:.2f} s ({len(self.recoveries)} measured)"
            )
        wrong = [*self.lost, *self.twice, *self.overlapping, *self.other]
        return "\n".join([*lines, *wrong, *(self.timeline if wrong else [])])


class Chaos:
    """One run."""

    def __init__(self, fleet: Fleet, stream: Stream, report: Report) -> None:
        self._fleet = fleet
        self._stream = stream
        self._report = report
        self._undo: dict[str, tuple[float, Fault]] = {}  #: what is ill-treated now: node or "broker" → until when
        self._probes: dict[str, tuple[Future[float], bool]] = {}  #: node → its recovery, and whether it was disturbed

    def run(self, faults: list[Fault]) -> None:
        """One after another; several may last at the same time, but only one at each place."""
        for fault in faults:
            self._let_pass(fault.pause * self._fleet.lease_floor)
            place = "broker" if fault.kind.startswith("broker") else fault.node
            while place in self._undo:
                self._let_pass(max(0.01, self._undo[place][0] - time.monotonic()))
            self._strike(fault)
            self._undo[place] = (time.monotonic() + fault.lasts * self._fleet.lease_floor, fault)
            self._report.faults[fault.kind] += 1
            if time.monotonic() - self._stream.moved_at > PATIENCE:
                self._report.other.append(f"no job ended for {PATIENCE:g} s before fault {fault.number}")
                break
        while self._undo:
            self._let_pass(0.1)

    def collect(self, patience: float) -> None:
        """The recoveries that nothing disturbed."""
        for future, disturbed in self._probes.values():
            self._note(future, disturbed, patience)
        self._probes.clear()

    def _let_pass(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while True:
            for place, (over, fault) in list(self._undo.items()):
                if time.monotonic() >= over:
                    del self._undo[place]
                    self._repair(fault)
            for said in self._fleet.died():
                self._report.other.append(f"after fault {sum(self._report.faults.values())}: {said}")
                for started in (self._fleet.broker, *self._fleet.nodes.values()):
                    if started.died():
                        started.start()
            if time.monotonic() >= until:
                return
            time.sleep(min(0.02, max(0.0, until - time.monotonic())))

    def _strike(self, fault: Fault) -> None:
        fleet, node = self._fleet, self._fleet.nodes[fault.node]
        self._report.timeline.append(f"{since_boot():.2f} {fault.number} {fault.kind} {fault.node} {fault.way}")
        for name in NODES if fault.kind.startswith("broker") else (fault.node,):
            if name in self._probes and not self._probes[name][0].done():
                self._probes[name] = (self._probes[name][0], True)
        match fault.kind:
            case "worker kill -9":
                node.kill_worker()
            case "worker TERM":
                node.kill_worker(signal.SIGTERM)
            case "supervisor kill -9":
                processes.send(node.of_role("supervisor"), signal.SIGKILL)
            case "power cut":
                node.lose_power()
            case "worker SIGSTOP":
                node.signal(signal.SIGSTOP)
            case "link cut":
                fleet.cut(node, fault.way)
            case "broker kill -9":
                fleet.broker.kill()
            case "broker stop":
                fleet.broker.stop()
            case _:
                raise AssertionError(fault.kind)

    def _repair(self, fault: Fault) -> None:
        fleet, node = self._fleet, self._fleet.nodes[fault.node]
        self._report.timeline.append(f"{since_boot():.2f} {fault.number} is over")
        match fault.kind:
            case "worker kill -9" | "worker TERM" | "power cut":
                node.start()
            case "worker SIGSTOP":
                node.signal(signal.SIGCONT)
            case "link cut":
                fleet.restore(node, fault.way)
            case "broker kill -9" | "broker stop":
                fleet.broker.start()
        if "broker" not in self._undo:
            before = self._probes.pop(fault.node, None)
            if before:
                self._note(*before, patience=0)
            self._probes[fault.node] = (self._stream.probe(fault.node), False)

    def _note(self, future: Future[float], disturbed: bool, patience: float) -> None:
        with suppress(TimeoutError):
            if not disturbed:
                self._report.recoveries.append(future.result(timeout=patience))


def run(folder: Path, seed: int, faults: int, lease_floor: float) -> Report:
    """So many faults, from this seed; then everything is repaired and must come to its end."""
    report = Report(seed, lease_floor)
    with Fleet(folder, lease_floor=lease_floor) as fleet:
        for name in NODES:
            fleet.start(name, slots=2)
        began = time.monotonic()
        with Stream(fleet, seed) as stream:
            chaos = Chaos(fleet, stream, report)
            chaos.run(schedule(seed, faults, fleet.network.cuttable))
            stream.finish(PATIENCE)
            chaos.collect(10)
            report.seconds = time.monotonic() - began
            _judge(fleet, stream, report)
        if not report.good:
            print(fleet.logs())  # noqa: T201 - for whoever looks into it
    return report


def _judge(fleet: Fleet, stream: Stream, report: Report) -> None:
    ids = [handle.id for handle in stream.handles]
    for start in range(0, len(ids), 500):
        for id, job in zip(ids[start : start + 500], fleet.client.store.get(ids[start : start + 500]), strict=True):
            if job is None or not job.state.ended:
                report.lost.append(f"lost: {id} {job and (job.state, job.attempts)}")
                continue
            report.attempts[len(job.attempts)] += 1
            report.other += invariants.record_violations(job)
            if job.state != "succeeded":
                report.other.append(f"job {id} is {job.state}: {job.reason} {job.attempts[-1:]}")
    report.twice += [f"finished twice: {id}" for id in stream.twice()]
    for said in fleet.records.overlaps():
        id = said.partition(":")[0]
        report.overlapping.append("\n".join([f"overlapping: {said}", *_story(fleet, id)]))
    report.other += invariants.left_behind(fleet)


def _story(fleet: Fleet, id: str) -> list[str]:
    """An overlapping job's history, as the store and as the job tell it."""
    [job] = fleet.client.store.get([id])
    offset = time.time() - since_boot()
    told = [f"  {fleet.records.of(id)}"]
    for a in job.attempts if job else ():
        times = [f"{at - offset:.2f}" if at else "-" for at in (a.claimed_at, a.offered_at, a.ended_at)]
        told.append(
            f"  attempt {a.number} on {a.worker}: claimed {times[0]}, offered {times[1]}, ended {times[2]}: {a.outcome}"
        )
    return [*told, f"  {job and job.spec}"]


def main() -> int:
    """The command line: scripts/chaos."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=100, metavar="N")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--lease-floor", type=float, default=2.0, metavar="SECONDS")
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)  # noqa: T201 - a command line prints
    with tempfile.TemporaryDirectory(prefix="relayq-chaos-") as folder:
        report = run(Path(folder), asked.seed, asked.faults, asked.lease_floor)
    print(report)  # noqa: T201
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
