"""A command line over a store in memory, and a worker that does what the test says."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner, Result

from relayq.cli.app import cli
from relayq.cli.context import App
from relayq.client import Client
from relayq.config import Settings
from relayq.model import Bell, Chunk, JobSpec, Outcome, Reason, WorkerInfo
from relayq.placement import eligible, lane_for
from relayq.store import NewJob
from relayq.store.memory import MemoryStore

DONE = Outcome(reason=Reason.EXITED, exit_code=0)


class Line:
    """`line("list", "--json")` is `relayq list --json`."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.store = MemoryStore(clock=lambda: self.now)
        self.settings = Settings(broker_url="redis://:secret@nas:6379/0")
        self.columns: int | None = None  #: of the terminal's lines; None: there is no terminal
        self._count = 0

    def __call__(self, *args: str, input: bytes | str | None = None) -> Result:
        env = {"COLUMNS": str(self.columns) if self.columns else None}
        return CliRunner(env=env).invoke(cli, args, obj=App(Client(self.settings, self.store)), input=input)

    def json(self, *args: str) -> Any:
        """What it prints with --json."""
        result = self(*args, "--json")
        return json.loads(result.stdout)

    def worker(
        self, name: str = "mac-mini", *, slots: int = 2, labels: tuple[str, ...] = ("mac",), **offers: Any
    ) -> str:
        """A worker that joins; its incarnation."""
        info = WorkerInfo(
            name=name, identity=f"id-{name}", incarnation=f"i-{name}", slots=slots, labels=labels, **offers
        )
        bell = Bell(queue=f"relayq.ring.{name}", ring="r", channel=f"/0.c.{name}", nudge="n")
        lanes = self.store.register(info, bell).lanes
        self.store.serve(name, [lane for lane in lanes if eligible(info, lane)], all=True)
        return info.incarnation

    def submit(self, id: str, **options: Any) -> str:
        """A job that waits."""
        spec = JobSpec(**{"command": "true", **options})
        self.store.submit([NewJob(id=id, spec=spec, lane=lane_for(spec), anyway=True)])
        return id

    def claim(self, name: str = "mac-mini") -> Any:
        """The worker takes the next job."""
        self._count += 1
        claim = self.store.claim(name, f"i-{name}", f"n{self._count}")
        assert claim is not None
        return claim.held

    def finish(self, held: Any, outcome: Outcome = DONE, *chunks: Chunk, name: str = "mac-mini") -> None:
        """The worker says how it ended."""
        self.store.finish(name, f"i-{name}", held, outcome, chunks)

    def ended(self, id: str, outcome: Outcome = DONE, *chunks: Chunk, **options: Any) -> str:
        """A job that has ended."""
        self.submit(id, **options)
        self.finish(self.claim(), outcome, *chunks)
        return id
