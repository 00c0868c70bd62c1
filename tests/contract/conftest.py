"""One store or the other, with a clock that only the test moves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from relayq.model import Bell, JobSpec, Outcome, Reason, WorkerInfo
from relayq.placement import eligible, rule_lacks
from relayq.routes import lane_of
from relayq.store import Claim, NewJob, Store
from relayq.store.memory import MemoryStore
from relayq.store.redis import RedisStore

DONE = Outcome(reason=Reason.EXITED, exit_code=0)
FAILED = Outcome(reason=Reason.EXITED, exit_code=1)


class Clock:
    """Seconds since the epoch, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A store and the few calls that tests make of it again and again."""

    def __init__(self, store: Store, clock: Clock, admin: redis.Redis | None = None) -> None:
        self.store = store
        self.clock = clock
        self.counter = 0
        self.admin = admin

    def nonce(self) -> str:
        self.counter += 1
        return f"n{self.counter}"

    def worker(
        self,
        name: str = "w",
        *,
        slots: int = 2,
        labels: tuple[str, ...] = (),
        has: tuple[str, ...] = (),
        identity: str = "",
    ) -> str:
        info = WorkerInfo(
            name=name,
            identity=identity or f"id-{name}",
            incarnation=self.nonce(),
            slots=slots,
            labels=labels,
            capabilities=has,
        )
        bell = Bell(queue=f"relayq.ring.{name}", ring=f"ring {name}", channel=f"/0.c.{name}", nudge=f"nudge {name}")
        self.store.register(info, bell)
        self.serve(info)
        return info.incarnation

    def serve(self, info: WorkerInfo) -> None:
        """As a worker does when there are lanes it has not seen."""
        version, lanes = self.store.lanes()
        mine = [lane for lane in lanes if eligible(info, lane)]
        lacks = {lane: rule_lacks(info, lane) for lane in mine}
        self.store.serve(info.name, mine, all=True, version=version, lacks=lacks)

    def submit(self, id: str = "j", *, anyway: bool = True, **options: object) -> str:
        spec = JobSpec(**{"command": "true", **options})  # type: ignore[arg-type]
        self.store.submit([NewJob(id=id, spec=spec, lane=lane_of(spec), anyway=anyway)])
        return id

    def claim(self, worker: str, incarnation: str) -> Claim | None:
        return self.store.claim(worker, incarnation, self.nonce())

    def rings(self, worker: str) -> int:
        if isinstance(self.store, MemoryStore):
            return self.store.rings(worker)
        assert isinstance(self.store, RedisStore)
        return int(self.store._redis.llen(f"relayq.ring.{worker}"))


@pytest.fixture(params=["memory", "redis"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """The contract's subject."""
    clock = Clock()
    if request.param == "memory":
        yield Bench(MemoryStore(clock=clock), clock)
    else:
        store = RedisStore(request.getfixturevalue("redis_url"), clock=clock)
        yield Bench(store, clock, request.getfixturevalue("admin"))
        store.close()
