"""relayq beside bare xargs, stock Celery and Huey: the same shell command, the same Redis, the same run.

Rounds are interleaved and medians are printed, because only ratios within one run mean anything.
Usage: scripts/bench [--jobs 1000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from relayq import embedded
from relayq.client import Client
from relayq.config import Settings
from relayq.supervisor.client import Session
from relayq.supervisor.launch import living
from relayq.worker.ending import shut_down

HERE = Path(__file__).parent
COMMAND = "echo hello"
SLOTS = 2


@contextlib.contextmanager
def program(argv: list[str], env: dict[str, str], log: Path) -> Iterator[int]:
    """A process of a peer or of ours, ended afterwards."""
    with log.open("ab") as out:
        process = subprocess.Popen(argv, env={**os.environ, **env}, stdout=out, stderr=out, cwd=HERE)
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def xargs(n: int) -> float:
    """Seconds for n commands with nothing in between."""
    started = time.perf_counter()
    lines = "".join(f"{COMMAND}\n" for _ in range(n))
    subprocess.run(
        ["xargs", "-P", str(SLOTS), "-d", "\\n", "-n", "1", "sh", "-c"],
        input=lines, text=True, stdout=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    return time.perf_counter() - started


def relayq_map(client: Client, n: int) -> float:
    """Seconds for n commands, submission and results included."""
    started = time.perf_counter()
    handles = client.map([COMMAND] * n)
    for handle in client.as_completed(handles, timeout=300):
        assert handle.get() == "hello\n"
    return time.perf_counter() - started


def peer_map(submit: Callable[[], object], fetch: Callable[[object], str], n: int) -> float:
    """The same for a queue that hands out one result handle a task."""
    started = time.perf_counter()
    handles = [submit() for _ in range(n)]
    for handle in handles:
        assert fetch(handle) == "hello\n"
    return time.perf_counter() - started


def latencies(once: Callable[[], str], n: int) -> list[float]:
    """Milliseconds of n single runs, one after another."""
    took = []
    for _ in range(n):
        started = time.perf_counter()
        assert once() == "hello\n"
        took.append((time.perf_counter() - started) * 1000)
    return took


def pss(pid: int) -> float:
    """Proportional set size of a process and its children, in MB."""
    total = 0
    for path in [Path(f"/proc/{pid}")]:
        for line in (path / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return total / 1024 + sum(pss(int(child)) for child in children)


def main() -> None:
    """Start everything, measure in turn, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--singles", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="relayq-bench-") as folder, contextlib.ExitStack() as stack:
        home = Path(folder)
        broker = embedded.start(home)
        stack.callback(embedded.stop, home)
        os.environ["BENCH_REDIS"] = broker.url
        sys.path.insert(0, str(HERE))
        import peers

        env = {"RELAYQ_HOME": str(home), "RELAYQ_BROKER_URL": broker.url}
        log = home / "log"
        python = sys.executable
        ours = stack.enter_context(
            program([python, "-m", "celery", "-A", "relayq.tasks", "worker", f"-c{SLOTS}", "-n", "bench@%h"], env, log)
        )
        stack.callback(shut_down, home)
        celery = stack.enter_context(
            program([python, "-m", "celery", "-A", "peers", "worker", f"-c{SLOTS}", "-n", "stock@%h"], env, log)
        )
        huey = stack.enter_context(
            program(
                [
                    python,
                    "-m",
                    "huey.bin.huey_consumer",
                    "peers.huey",
                    f"-w{SLOTS}",
                    "-k",
                    "process",
                    "-d",
                    "0.001",
                    "-m",
                    "0.01",
                ],
                env,
                log,
            )
        )
        client = Client(Settings(home=home, broker_url=broker.url))
        client.run(COMMAND).get(timeout=30)
        assert peers.celery_once() == peers.huey_once() == "hello\n"

        n = options.jobs
        rounds: dict[str, list[float]] = {}
        singles: dict[str, list[float]] = {}
        for _ in range(options.rounds):
            for name, take in (
                ("xargs", lambda: xargs(n)),
                ("relayq", lambda: relayq_map(client, n)),
                ("huey", lambda: peer_map(peers.huey_submit, peers.huey_fetch, n)),
                ("celery", lambda: peer_map(peers.celery_submit, peers.celery_fetch, n // 4) * 4),
            ):
                rounds.setdefault(name, []).append(n / take())
            for name, once in (
                ("relayq", lambda: client.run(COMMAND).get(timeout=30)),
                ("huey", peers.huey_once),
                ("celery", peers.celery_once),
            ):
                singles.setdefault(name, []).extend(latencies(once, options.singles))
        base = statistics.median(rounds["xargs"])
        print(f"{n} × `{COMMAND}`, {SLOTS} slots, {options.rounds} interleaved rounds, medians\n")
        print(f"{'':8} {'jobs/s':>8} {'of xargs':>9} {'run().get() p50':>16} {'p99':>9}")
        for name, rates in rounds.items():
            rate = statistics.median(rates)
            line = f"{name:8} {rate:8.0f} {rate / base:9.2f}"
            if name in singles:
                took = sorted(singles[name])
                line += f" {statistics.median(took):13.2f} ms {took[int(len(took) * 0.99)]:6.2f} ms"
            print(line)
        [path] = living(home)
        with Session(path, {}) as session:
            supervisor = pss(session.supervisor_pid)
        print(f"\nidle PSS: relayq {pss(ours):.0f} MB + supervisor {supervisor:.0f} MB, "
              f"celery {pss(celery):.0f} MB, huey {pss(huey):.0f} MB")  # fmt: skip


if __name__ == "__main__":
    main()
