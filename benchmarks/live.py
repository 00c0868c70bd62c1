"""What the server needs: two hundred look, some do not read, and jobs change a thousand times a second.

The server is held to one processor.
Usage: python -m benchmarks.live [--clients 200] [--slow 10] [--events 1000] [--seconds 60]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from relayq import embedded
from relayq.model import Bell, JobSpec, Outcome, Reason, WorkerInfo
from relayq.store import NewJob
from relayq.store.access import Access, Scope
from relayq.store.admin import Admin
from relayq.store.redis import RedisStore

DONE = Outcome(reason=Reason.EXITED, exit_code=0, duration=0.001)
SLOTS = 20
BATCH = 50
WORKERS = 4


def work(url: str, name: str, events: float, done: Any) -> None:
    """Submits, claims and finishes jobs without running anything: three changes each. For ever."""
    store, pause = RedisStore(url), 3 * BATCH / events
    store.register(
        WorkerInfo(name=name, identity=name, incarnation="n", slots=SLOTS),
        Bell(queue=f"relayq.ring.{name}", ring="r", channel="/0.c", nudge="n"),
    )
    store.serve(name, ["any"], all=True)
    due, number, pulse_at = time.monotonic(), 0, 0.0
    while True:
        numbers = range(number, number + BATCH)
        store.submit([NewJob(id=f"{name}-{n}", spec=JobSpec(command=f"echo {n}"), lane="any") for n in numbers])
        claim = store.claim(name, "n", f"c{number}")
        while claim is not None:
            claim = store.finish(name, "n", claim.held, DONE, next_nonce=f"f{done.value}").next
            done.value += 1
        if time.monotonic() > pulse_at:
            store.pulse(name, "n")
            pulse_at = time.monotonic() + 4
        number += BATCH
        due = max(due + pause, time.monotonic() - 1)
        time.sleep(max(0.0, due - time.monotonic()))


async def look(port: int, token: str, until: float) -> tuple[list[float], int]:
    """One client: when overviews came, and how many bytes in all."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(token))
    came, size = [], 0
    with contextlib.suppress(TimeoutError, ConnectionError):
        while (left := until - time.monotonic()) > 0:
            data = await asyncio.wait_for(reader.read(1 << 18), left)
            if not data:
                break
            size += len(data)
            came += [time.monotonic()] * data.count(b"event: overview")
    writer.close()
    return came, size


def request(token: str) -> bytes:
    """The request for events."""
    return f"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def slow(port: int, token: str) -> socket.socket:
    """A client that asks and never reads."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.sendall(request(token))
    return client


@contextlib.contextmanager
def server(url: str, home: Path, port: int) -> Iterator[psutil.Process]:
    """The server, on one processor."""
    env = os.environ | {"RELAYQ_HOME": str(home), "RELAYQ_BROKER_URL": url, "RELAYQ_ADMIN_URL": url}
    argv = [sys.executable, "-m", "relayq", "server", "--address", "127.0.0.1", "--port", str(port)]
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(argv, env=env, stdout=log, stderr=log)
    with contextlib.suppress(AttributeError):
        os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(0))})
    try:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


async def measure(options: argparse.Namespace, port: int, token: str, process: psutil.Process, done: list[Any]) -> None:
    """Watch, and print."""
    until = time.monotonic() + options.seconds
    idle = [slow(port, token) for _ in range(options.slow)]
    before, used = sum(d.value for d in done), process.cpu_times()
    memory = []

    async def weigh() -> None:
        while time.monotonic() < until:
            memory.append(process.memory_info().rss >> 20)
            await asyncio.sleep(1)

    found = await asyncio.gather(*(look(port, token, until) for _ in range(options.clients)), weigh())
    looks = [one for one in found if one is not None]
    now = process.cpu_times()
    cpu = (now.user + now.system - used.user - used.system) / options.seconds
    rates = [len(came) / options.seconds for came, _ in looks]
    gaps = [b - a for came, _ in looks for a, b in pairwise(came)]
    print(f"changes of jobs a second   {3 * (sum(d.value for d in done) - before) / options.seconds:.0f}")
    print(f"clients                    {len(looks)}, and {len(idle)} that never read")
    print(f"overviews a second, each   {statistics.median(rates):.2f} (most {max(rates):.2f}, least {min(rates):.2f})")
    print(f"longest gap, 99 %          {sorted(gaps)[int(len(gaps) * 0.99)]:.2f} s")
    print(f"bytes an overview          {sum(size for _, size in looks) / max(1, sum(len(c) for c, _ in looks)):.0f}")
    print(f"processor of the server    {100 * cpu:.0f} % of one core")
    print(
        f"memory (MiB)               {memory[0]} at first, {memory[len(memory) // 2]} halfway, {memory[-1]} at the end"
    )
    await asyncio.sleep(1)
    connections = sum(1 for c in process.net_connections() if c.status == "ESTABLISHED" and c.laddr.port == port)
    print(f"still connected            {connections} of those that never read")
    for one in idle:
        one.close()


def main() -> None:
    """Everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("clients", 200), ("slow", 10), ("events", 1000), ("seconds", 60)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        broker = embedded.start(home)
        try:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            with server(broker.url, home, port) as process:
                token = Access(Admin(broker.url)).new_token("bench", Scope.READ).secret
                done = [multiprocessing.Value("q", 0) for _ in range(WORKERS)]
                workers = [
                    multiprocessing.Process(
                        target=work, args=(broker.url, f"w{n}", options.events / WORKERS, d), daemon=True
                    )
                    for n, d in enumerate(done)
                ]
                for worker in workers:
                    worker.start()
                time.sleep(2)
                asyncio.run(measure(options, port, token, process, done))
                for worker in workers:
                    worker.terminate()
                    worker.join()
        finally:
            embedded.stop(home, 10)


if __name__ == "__main__":
    main()
