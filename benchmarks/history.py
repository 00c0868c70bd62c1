"""A million jobs in history: how long a page takes to list or to search, and what they cost.

Records are written into Redis as the scripts write them, only faster.
Usage: python -m benchmarks.history [--jobs 1000000]
"""

from __future__ import annotations

import argparse
import random
import socket
import statistics
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from benchmarks.live import server
from relayq import embedded
from relayq.model import JobSpec
from relayq.store import codec
from relayq.store.access import Access, Scope
from relayq.store.admin import Admin

WORKERS = [f"worker-{n}" for n in range(100)]
VERBS = ("ffmpeg -i", "python analyse.py", "gzip -9", "make -C", "rsync -a", "convert")
PER_CALL = 2000
ROUNDS = 15
K = "relayq:"


def jobs(count: int) -> Iterator[tuple[str, str, str, str, str, float]]:
    """(id, spec, doc, state, worker, place), oldest first, over the last six days."""
    chance = random.Random(7)
    start, step = time.time() - 6 * 86400, 6 * 86400 / count
    for n in range(count):
        place = round(start + n * step, 6)
        worker = WORKERS[n % len(WORKERS)]
        code = 0 if chance.random() < 0.95 else chance.choice((1, 2, 127))
        code = 137 if n % 100_000 == 7 else code
        state = "failed" if code else "succeeded"
        spec = JobSpec(command=f"{chance.choice(VERBS)} /data/batch-{n // 1000}/file-{n}.dat")
        id = f"{n:012d}"
        outcome = {"reason": "exited", "exit_code": code, "stdout_bytes": 12, "duration": 1.5}
        attempt = {
            "number": 1,
            "nonce": f"{n:016x}",
            "worker": worker,
            "claimed_at": place + 0.01,
            "ended_at": place + 2,
        }
        doc = {"id": id, "state": state, "reason": "exited", "place": place, "ended_at": place + 2}
        doc["attempts"] = [attempt | {"outcome": outcome}]
        yield id, codec.dumps(codec.spec_to_json(spec)), codec.dumps(doc), state, worker, place


def fill(client: Any, count: int) -> None:
    """Write them."""
    client.set(f"{K}schema", "1")
    pipe, waiting = client.pipeline(transaction=False), 0
    for id, spec, doc, state, worker, place in jobs(count):
        pipe.hset(f"{K}job:{id}", mapping={"spec": spec, "doc": doc})
        pipe.expire(f"{K}job:{id}", 7 * 86400)
        pipe.zadd(f"{K}ids", {id: 0})
        pipe.zadd(f"{K}state:{state}", {id: place})
        pipe.zadd(f"{K}ran:{worker}", {id: place})
        waiting += 1
        if waiting == PER_CALL:
            pipe.execute()
            waiting = 0
    pipe.execute()


def ask(port: int, token: str, path: str) -> tuple[float, bytes]:
    """Milliseconds, and the answer."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {token}"})
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=60) as answer:
        data = answer.read()
    return 1000 * (time.perf_counter() - began), data


PAGES: dict[str, dict[str, Any]] = {
    "newest": {},
    "in the middle": {"until": time.time() - 3 * 86400},
    "failed": {"state": "failed"},
    "of a worker": {"worker": "worker-42"},
    "failed on a worker": {"worker": "worker-42", "state": "failed"},
    "a word in every sixth": {"q": "ffmpeg"},
    "a word in a thousand": {"q": "batch-500"},
    "a word in one": {"q": "file-123456"},
    "the beginning of many": {"q": "fi"},
    "two words": {"q": "rsync batch-77"},
    "exit code 137 (rare)": {"exit_code": 137},
    "a common word, rare code": {"q": "data", "exit_code": 137},
    "a word that is nowhere": {"q": "zebra"},
}


def main() -> None:
    """Everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        broker = embedded.start(home)
        client = redis.Redis.from_url(broker.url)
        try:
            began = time.monotonic()
            before = client.info("memory")["used_memory"]
            fill(client, options.jobs)
            used = (client.info("memory")["used_memory"] - before) / options.jobs
            print(f"{options.jobs} jobs written in {time.monotonic() - began:.0f} s; {used:.0f} bytes of Redis each")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            with server(broker.url, home, port) as process:
                token = Access(Admin(broker.url)).new_token("bench", Scope.READ).secret
                began = time.monotonic()
                while b'"indexing":true' in ask(port, token, "/api/v1/jobs?limit=1")[1]:
                    time.sleep(0.5)
                size = (home / "server" / "index.sqlite").stat().st_size
                print(f"index filled in {time.monotonic() - began:.0f} s; {size / options.jobs:.0f} bytes on disk each")
                print(f"memory of the server: {process.memory_info().rss >> 20} MiB\n")
                for name, query in [*PAGES.items(), ("overview", None)]:
                    path = "/api/v1/overview" if query is None else f"/api/v1/jobs?{urllib.parse.urlencode(query)}"
                    took = sorted(ask(port, token, path)[0] for _ in range(ROUNDS))
                    print(f"{name:<26}{statistics.median(took):6.0f} ms   slowest of {ROUNDS}: {took[-1]:.0f} ms")
        finally:
            client.close()
            embedded.stop(home, 30)


if __name__ == "__main__":
    main()
