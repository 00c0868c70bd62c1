"""A fleet: real workers as separate processes on a real broker, each with a RELAYQ_HOME of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from relayq.client import Client
from relayq.config import Settings
from relayq.supervisor.client import Session, SupervisorError
from relayq.supervisor.launch import living
from relayq.worker.ending import shut_down
from tests.conftest import wait_until


class Worker:
    """One worker process and its home."""

    def __init__(
        self,
        name: str,
        home: Path,
        url: str,
        slots: int,
        labels: str,
        lease_floor: float,
        settings: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self.home = home
        self.log = home / "worker.log"
        self.argv = [sys.executable, "-m", "celery", "-A", "relayq.tasks", "worker"]
        self.argv += [f"--concurrency={slots}", f"--hostname={name}@%h", "--loglevel=INFO"]
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("RELAYQ_")},
            "RELAYQ_HOME": str(home),
            "RELAYQ_BROKER_URL": url,
            "RELAYQ_LABELS": labels,
            "RELAYQ_LEASE_FLOOR": str(lease_floor),
            **(settings or {}),
        }
        home.mkdir(exist_ok=True)
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv, env=self.env, cwd=self.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        return self.process

    def signal(self, number: int) -> None:
        """Send a signal to the worker process alone."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9, as the kernel or an impatient owner does."""
        self.process.kill()
        self.process.wait()

    def lose_power(self) -> None:
        """The whole machine: worker and supervisor (whose jobs die with it)."""
        pids = []
        for path in living(self.home):
            with contextlib.suppress(SupervisorError), Session(path, {}) as session:
                pids.append(session.supervisor_pid)
        self.kill()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    def end(self) -> None:
        """Worker and supervisor, with what they run."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(8)
            except subprocess.TimeoutExpired:
                self.kill()
        shut_down(self.home)


class Fleet:
    """Workers by name, and a client of their broker."""

    def __init__(self, url: str, folder: Path, lease_floor: float = 15.0) -> None:
        self.url = url
        self.folder = folder
        self.lease_floor = lease_floor
        self.workers: dict[str, Worker] = {}
        self.client = Client(Settings(home=folder / "client", broker_url=url, lease_floor=lease_floor))

    def start(
        self,
        name: str = "w",
        *,
        slots: int = 2,
        labels: str = "",
        wait: bool = True,
        settings: dict[str, str] | None = None,
    ) -> Worker:
        worker = Worker(name, self.folder / name, self.url, slots, labels, self.lease_floor, settings)
        self.workers[name] = worker
        if wait:
            self.online(name)
        return worker

    def online(self, name: str) -> None:
        """Wait until a worker is registered and there."""
        wait_until(lambda: self.client.worker_status()["workers"].get(name, {}).get("online"), 20, self.logs)

    def logs(self) -> str:
        """The end of every worker's log."""
        return "\n".join(f"--- {w.name}\n{w.log.read_text()[-3000:]}" for w in self.workers.values())


@pytest.fixture
def fleet(redis_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """An empty fleet; what is started in it is ended with it. Marker-free option: indirect lease floor."""
    fleet = Fleet(redis_url, tmp_path, getattr(request, "param", 15.0))
    yield fleet
    for worker in fleet.workers.values():
        worker.end()
    fleet.client.store.close()


@pytest.fixture(scope="module")
def crew(redis_server: str, admin: redis.Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two workers that many tests share: mac-mini (mac, heavy; 2 slots) and rpi4-worker (rpi, light; 4 slots)."""
    admin.flushall()
    fleet = Fleet(redis_server, tmp_path_factory.mktemp("crew"))
    fleet.start("mac-mini", slots=2, labels="mac,heavy", wait=False)
    fleet.start("rpi4-worker", slots=4, labels="rpi,light", wait=False)
    fleet.online("mac-mini")
    fleet.online("rpi4-worker")
    yield fleet
    for worker in fleet.workers.values():
        worker.end()
    fleet.client.store.close()
