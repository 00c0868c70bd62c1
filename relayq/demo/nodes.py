"""Stand-ins for three machines: real processes, each node with a RELAYQ_HOME of its own; all are ended for certain."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from relayq import __version__, embedded, processes
from relayq.client import Client
from relayq.config import Settings
from relayq.demo.interrupts import Interrupts
from relayq.errors import RelayqError
from relayq.processes import Spawned
from relayq.supervisor.client import Session, SupervisorError, SupervisorUnavailable
from relayq.supervisor.paths import Paths

LEASE_FLOOR = 3.0  #: seconds instead of 15: how long the demo waits before it believes that a machine is gone
_STOP_PATIENCE = 5.0  #: seconds for each thing that is asked to end before it is killed


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a node stands for."""

    name: str
    folder: str  #: its RELAYQ_HOME; short, because a socket lies in it
    slots: int
    labels: tuple[str, ...]


MAC = Machine(name="mac-mini", folder="mac", slots=2, labels=("mac", "heavy"))
PI = Machine(name="rpi4-worker", folder="rpi", slots=4, labels=("rpi", "light"))
WORKERS = (MAC, PI)
_BROKER = "broker"


class Nodes:
    """The nodes of one demo in one temporary folder. Leaving it ends every process that was started and removes it."""

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts
        self._temporary = tempfile.TemporaryDirectory(prefix="relayq-demo-")
        self.folder = Path(self._temporary.name)
        self._client: Client | None = None
        self._workers: dict[str, Spawned] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        with self._interrupts.held(), self._temporary:
            try:
                self._end_workers()
            finally:
                self._end_broker()

    @property
    def client(self) -> Client:
        """Submits to the broker."""
        assert self._client is not None, "start_broker comes first"
        return self._client

    def folder_of(self, machine: Machine) -> Path:
        """Its RELAYQ_HOME."""
        return self.folder / machine.folder

    def start_broker(self) -> embedded.Broker:
        """A broker of its own, on a port of its own. Raises RelayqError."""
        with self._interrupts.held():
            broker = embedded.start(self.folder / _BROKER)
        self._client = Client(
            Settings(home=self.folder / _BROKER, broker_url=broker.url, lease_floor=LEASE_FLOOR, submit_patience=5.0)
        )
        return broker

    def start_worker(self, machine: Machine) -> None:
        """A worker as `relayq worker` starts it."""
        home = self.folder_of(machine)
        home.mkdir(mode=0o700)
        # None of this machine's own settings: it may well be a node itself.
        env = {name: value for name, value in os.environ.items() if not name.startswith("RELAYQ_")}
        env["RELAYQ_HOME"] = str(home)
        env["RELAYQ_BROKER_URL"] = str(self.client.settings.broker_url)
        env["RELAYQ_LEASE_FLOOR"] = f"{LEASE_FLOOR:g}s"
        argv = [
            sys.executable,
            "-m",
            "relayq",
            "worker",
            "--no-restart",
            "--name",
            machine.name,
            "--slots",
            str(machine.slots),
        ]
        with self._interrupts.held():
            self._workers[machine.name] = processes.spawn_detached(
                [*argv, "--labels", ",".join(machine.labels)], home / "worker.log", env
            )

    def check_alive(self) -> None:
        """Raises RelayqError if a worker has ended."""
        for name, worker in self._workers.items():
            if not processes.alive(worker.pid, worker.token):
                raise RelayqError(f"the worker {name} ended by itself")

    def cut_power(self, machine: Machine) -> int:
        """KILL all processes of a node at one blow, as a power cut would; how many there were."""
        node = [self._workers[machine.name], *_supervised(self.folder_of(machine))]
        for process in node:
            _kill(process)
        for process in node:
            if not processes.wait_ended(process.pid, process.token, processes.KILL_PATIENCE):
                raise RelayqError(f"process {process.pid} of {machine.name} does not die")
        return len(node)

    def tails(self) -> list[tuple[str, list[str]]]:
        """The ends of all logs: (whose, lines)."""
        logs = [self.folder / _BROKER / "broker" / "broker.log"]
        for machine in WORKERS:
            home = self.folder_of(machine)
            logs += [home / "worker.log", home / "supervisor" / "supervisor.log"]
        found = [(log, log.read_text(errors="replace").splitlines()[-12:]) for log in logs if log.exists()]
        return [(str(log.relative_to(self.folder)), lines) for log, lines in found if lines]

    def _end_workers(self) -> None:
        started = [machine for machine in WORKERS if machine.name in self._workers]
        with ThreadPoolExecutor() as pool:
            list(pool.map(_end_node, map(self.folder_of, started), (self._workers[m.name] for m in started)))

    def _end_broker(self) -> None:
        if self._client is not None:
            self._client.store.close()
        with suppress(RelayqError, TimeoutError):
            embedded.stop(self.folder / _BROKER, _STOP_PATIENCE)


def _session(home: Path) -> Session | None:
    """A connection to the node's supervisor; None if it has none."""
    for path in Paths(str(home), __version__).sockets():
        with suppress(SupervisorUnavailable):
            return Session(path, {})
    return None


def _supervised(home: Path) -> list[Spawned]:
    """A node's supervisor and the jobs it runs, the supervisor first."""
    session = _session(home)
    if session is None:
        return []
    with session:
        pids = [session.supervisor_pid, *(state.pid for state in session.list() if state.state != "ended")]
        tokens = [(pid, processes.identify(pid)) for pid in pids if pid is not None]
    return [Spawned(pid=pid, token=token) for pid, token in tokens if token]


def _end_node(home: Path, worker: Spawned) -> None:
    """End a node's worker, its jobs, then the supervisor that ran them."""
    # A worker that has just started is about to start its supervisor, which could not be found yet and would stay.
    give_up_at = time.monotonic() + _STOP_PATIENCE
    while processes.alive(worker.pid, worker.token) and time.monotonic() < give_up_at:
        if session := _session(home):
            session.close()
            break
        time.sleep(0.05)
    with suppress(TimeoutError):
        processes.end(worker.pid, worker.token, _STOP_PATIENCE)
    with suppress(SupervisorError):
        left = _supervised(home)
        if session := _session(home):
            with session, suppress(SupervisorError):
                session.shutdown(grace=1.0, timeout=_STOP_PATIENCE)
        for process in left:
            _kill(process)
            processes.wait_ended(process.pid, process.token, processes.KILL_PATIENCE)
    # A supervisor that was killed leaves its socket, which for a long path is not in the home.
    for path in Paths(str(home), __version__).sockets():
        Path(path).unlink(missing_ok=True)


def _kill(process: Spawned) -> None:
    """KILL a process, and its group if it leads one, as jobs do."""
    if processes.alive(process.pid, process.token):
        with suppress(ProcessLookupError):
            if os.getpgid(process.pid) == process.pid:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                os.kill(process.pid, signal.SIGKILL)
