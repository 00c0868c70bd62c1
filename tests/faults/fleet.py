"""A fleet to be ill-treated: a broker, nodes and links between them, a client, and what must hold at the end."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path
from typing import Any

from relayq.client import Client
from relayq.config import Settings
from relayq.handle import JobHandle
from tests.conftest import wait_until

from . import invariants
from .links import Network, Way, make_network
from .machines import Broker, Node
from .records import Records, script

LEASE_FLOOR = 2.0  #: seconds instead of 15, so that a loss is believed soon


class Fleet:
    """Used with `with`. `check` says what went wrong; leaving ends every process and removes every link."""

    def __init__(
        self, folder: Path, *, lease_floor: float = LEASE_FLOOR, preload: dict[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.lease_floor = lease_floor
        self.records = Records(folder / "records")
        self.nodes: dict[str, Node] = {}
        self.jobs: list[JobHandle] = []
        self.unfinished: set[str] = set()  #: jobs that a test leaves without an end on purpose
        self.may_overlap: set[str] = set()  #: jobs whose overlaps a test judges by itself
        self.network: Network = make_network()
        try:
            self.broker = Broker(self.network.host("broker"), folder / "broker", preload)
            self.client = self.new_client()
        except BaseException:
            self.network.close()
            raise

    def __enter__(self) -> Fleet:
        try:
            self.broker.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def new_client(self, **options: Any) -> Client:
        """Another process's view, as it were."""
        settings: dict[str, Any] = {"submit_patience": 60.0, "lease_floor": self.lease_floor, **options}
        return Client(Settings(home=self.folder / "client", broker_url=self.broker.url, **settings))

    # ── nodes ──

    def start(
        self, name: str = "a", *, slots: int = 2, labels: str = "", wait: bool = True, home: Path | None = None,
        env: dict[str, str] | None = None,
    ) -> Node:  # fmt: skip
        """A node with a worker on it."""
        node = Node(
            name, self.network.host(name), home or self.folder / name, self.broker.url, slots=slots, labels=labels,
            lease_floor=self.lease_floor, env={"RECORDS": str(self.records.folder), **(env or {})},
            log=self.folder / f"{name}.log",
        )  # fmt: skip
        self.nodes[name] = node
        node.start()
        if wait:
            self.online(name)
        return node

    def restart(self, node: Node) -> None:
        """Its worker again; returns when it is online."""
        known = self.incarnation(node.name)
        node.start()
        wait_until(lambda: self.incarnation(node.name) != known, 30, self.logs)
        self.online(node.name)

    def incarnation(self, name: str) -> str:
        """Which worker process the store knows under this name."""
        return next((w.info.incarnation for w in self.client.store.workers()[1] if w.info.name == name), "")

    def is_online(self, name: str) -> bool:
        """Whether the store thinks that a worker is there."""
        return any(w.online for w in self.client.store.workers()[1] if w.info.name == name)

    def online(self, name: str) -> None:
        """Wait for a worker."""
        wait_until(lambda: self.is_online(name), 30, self.logs)

    def cut(self, node: Node, way: Way = "both") -> None:
        """Packets between a node and the broker vanish: both ways, only "to" the broker, or only "from" it."""
        self.network.cut(node.host, self.broker.host, way)

    def restore(self, node: Node, way: Way = "both") -> None:
        """They arrive again."""
        self.network.restore(node.host, self.broker.host, way)

    # ── jobs ──

    def run(
        self, seconds: float, exit_code: int = 0, *, every: float = 0.05, count: bool = True, **options: Any
    ) -> JobHandle:
        """A job that runs for so long and keeps a record of its own."""
        return self.command(script(seconds, exit_code, every, count), **options)

    def command(self, command: str, **options: Any) -> JobHandle:
        """Any job; its end is checked with the others'."""
        self.jobs.append(self.client.run(command, **options))
        return self.jobs[-1]

    def running(self, handle: JobHandle, attempt: int = 1, timeout: float = 30.0) -> None:
        """Wait until an attempt says itself that it runs."""
        wait_until(lambda: self.records.running(handle.id, attempt), timeout, lambda: f"{handle.id}\n{self.logs()}")

    def silent(self, handle: JobHandle, seconds: float = 1.0, timeout: float = 30.0) -> int:
        """Wait until a job has said nothing for a while (frozen or gone); how much it had said by then."""
        deadline, lines, since = time.monotonic() + timeout, -1, 0.0
        while lines < 0 or time.monotonic() - since < seconds:
            assert time.monotonic() < deadline, f"{handle.id} goes on\n{self.logs()}"
            now = len(self.records.of(handle.id))
            if now != lines:
                lines, since = now, time.monotonic()
            time.sleep(0.02)
        return lines

    # ── the end ──

    def check(self) -> list[str]:
        """All that is wrong."""
        wrong = self.died()
        if not wrong:
            wrong = invariants.violations(self)
        return wrong

    def died(self) -> list[str]:
        """What ended without being told to."""
        found = [started.died() for started in (self.broker, *self.nodes.values())]
        found += [f"a supervisor of {n.name} failed" for n in self.nodes.values() if "Traceback" in n.supervisor_log()]
        return [said for said in found if said]

    def logs(self) -> str:
        """The ends of all logs."""
        told = [f"─── {s.name}\n{s.tail()}" for s in (self.broker, *self.nodes.values())]
        told += [f"─── supervisors of {n.name}\n{n.supervisor_log()[-2000:]}" for n in self.nodes.values()]
        return "\n".join(told)

    def close(self) -> None:
        """End everything."""
        for node in self.nodes.values():
            node.end()
        with contextlib.suppress(Exception):
            self.client.store.close()
        self.broker.meant_to_run = False
        if self.broker.running:
            self.broker.kill()
        self.network.close()
        shutil.rmtree(self.broker.data, ignore_errors=True)
