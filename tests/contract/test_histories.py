"""The Lua scripts and the pure lifecycle, driven with the same generated histories, never differ."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from relayq.errors import RelayqError
from relayq.model import Bell, Capability, Chunk, Held, JobSpec, OnLost, Outcome, Pulse, Reason, State, WorkerInfo
from relayq.placement import eligible, place, rule_lacks
from relayq.routes import lane_of
from relayq.store import NewJob, Store, Unserved
from relayq.store.memory import MemoryStore
from relayq.store.redis import RedisStore
from tests.conftest import as_admin, serve_redis

from .conftest import Clock

WORKERS = {"mac": ("heavy", "mac"), "rpi": ("light",), "old": ("heavy",)}
CAPABILITIES = {"mac": ("ffmpeg",), "rpi": ("ffmpeg",), "old": ()}
SLOTS = {"mac": 2, "rpi": 1, "old": 1}

specs = st.builds(
    JobSpec,
    command=st.sampled_from(["true", "true", "ffmpeg -i a", "blender -b a"]),
    on=st.sampled_from([None, None, None, "mac", "rpi"]),
    needs=st.sampled_from([(), (), ("heavy",)]),
    prefer=st.sampled_from([(), ("heavy",), ("rpi", "light")]),
    priority=st.integers(-2, 2),
    retries=st.integers(0, 2),
    retry_delay=st.sampled_from([0.0, 1.0, 7.0]),
    on_lost=st.sampled_from(OnLost),
    max_losses=st.integers(1, 2),
    queue_timeout=st.sampled_from([None, None, 20.0]),
    max_output_bytes=st.sampled_from([9, 1000]),
)
outcomes = st.one_of(
    st.builds(Outcome, reason=st.just(Reason.EXITED), exit_code=st.integers(0, 2)),
    st.builds(Outcome, reason=st.sampled_from([Reason.TIMED_OUT, Reason.CANCELLED]), signal=st.just(15)),
    st.builds(Outcome, reason=st.just(Reason.NOT_STARTED), message=st.just("no such program: x")),
)


def _in_milliseconds(answer: Any) -> Any:
    """Redis answers numbers as texts of 14 digits."""
    if isinstance(answer, Pulse):
        return replace(answer, term=_in_milliseconds(answer.term))
    return {key: round(seconds, 3) for key, seconds in answer.items()} if isinstance(answer, dict) else answer


class Twins(RuleBasedStateMachine):
    """Whatever is asked of both stores, both answer the same and hold the same records."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.memory = MemoryStore(clock=self.clock)
        self.lua = RedisStore(self.url, clock=self.clock)
        self.admin = redis.Redis.from_url(as_admin(self.url))
        # Script cache and schema survive: only the data goes.
        self.admin.flushall()
        self.jobs: list[str] = []
        self.held: list[tuple[str, str, Held]] = []  #: every attempt ever claimed: stale ones speak as well
        self.incarnations: dict[str, str] = {}
        self.infos: dict[str, WorkerInfo] = {}
        self.counter = 0
        self.offset: dict[tuple[str, int], int] = {}

    def teardown(self) -> None:
        self.lua.close()
        self.admin.close()

    def both(self, call: Callable[[Store], Any]) -> Any:
        """The one answer (or the one refusal) of both stores."""
        answers = []
        for store in (self.memory, self.lua):
            try:
                answers.append(_in_milliseconds(call(store)))
            except (RelayqError, Unserved) as error:
                answers.append(type(error))
        assert answers[0] == answers[1]
        self.compare()
        return answers[0]

    def compare(self) -> None:
        mine, theirs = (store.get(self.jobs) for store in (self.memory, self.lua))
        assert mine == theirs
        assert self.memory.counts() == self.lua.counts()
        assert self.memory.workers() == self.lua.workers()
        rings = {name: int(self.lua._redis.llen(f"relayq.ring.{name}")) for name in self.incarnations}
        assert {name: self.memory.rings(name) for name in self.incarnations} == rings

    def fresh(self, prefix: str) -> str:
        self.counter += 1
        return f"{prefix}{self.counter}"

    @initialize()
    def start(self) -> None:
        for name in ("mac", "rpi"):
            self.register(name=name, running=False)

    @rule(name=st.sampled_from(sorted(WORKERS)), running=st.booleans())
    def register(self, name: str, running: bool) -> None:
        info = WorkerInfo(
            name=name,
            identity=name,
            incarnation=self.fresh("i"),
            slots=SLOTS[name],
            labels=WORKERS[name],
            capabilities=CAPABILITIES[name],
        )
        self.infos[name] = info
        bell = Bell(queue=f"relayq.ring.{name}", ring="ring", channel="/0.c", nudge="n")
        mine = [h for w, _, h in self.held if w == name] if running else []
        self.incarnations[name] = info.incarnation
        answers = []
        for store in (self.memory, self.lua):
            answer = store.register(info, bell, mine)
            answers.append((answer.now, set(answer.adopted), set(answer.lanes), answer.lanes_version))
            self.serve(store, info, answer.lanes)
        assert answers[0] == answers[1]
        self.compare()

    @staticmethod
    def serve(store: Store, info: WorkerInfo, lanes: Sequence[str]) -> None:
        mine = [lane for lane in lanes if eligible(info, lane)]
        store.serve(info.name, mine, all=True, lacks={lane: rule_lacks(info, lane) for lane in mine})

    @rule(name=st.sampled_from(sorted(WORKERS)), has=st.sampled_from([(), ("ffmpeg",), ("ffmpeg", "blender")]))
    def describe(self, name: str, has: tuple[str, ...]) -> None:
        """Something was installed, or removed."""
        if (before := self.infos.get(name)) is None:
            return
        self.infos[name] = info = replace(before, capabilities=has, found=tuple(Capability(name=each) for each in has))
        for store in (self.memory, self.lua):
            store.describe(info)
            self.serve(store, info, store.lanes()[1])
        self.compare()

    @rule(name=st.sampled_from(sorted(WORKERS)))
    def reprobe(self, name: str) -> None:
        self.both(lambda s: s.reprobe(name, ["x"]))

    @rule(spec=specs, count=st.integers(1, 3))
    def submit(self, spec: JobSpec, count: int) -> None:
        ids = [self.fresh("j") for _ in range(count)]
        self.jobs += ids
        lane = lane_of(spec)
        new = [NewJob(id=id, spec=spec, lane=lane, anyway=spec.on is not None) for id in ids]
        if self.both(lambda s: s.submit(new)) is Unserved:
            for info in self.infos.values():
                if eligible(info, lane):
                    lacks = {lane: rule_lacks(info, lane)}
                    self.both(lambda s, name=info.name, lacks=lacks: s.serve(name, [lane], all=False, lacks=lacks))
            self.both(lambda s: s.submit([replace(each, anyway=True) for each in new]))

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(self.jobs))
        self.both(lambda s: s.cancel(id))

    @rule(name=st.sampled_from(sorted(WORKERS)), repeat=st.booleans())
    def claim(self, name: str, repeat: bool) -> None:
        nonce = self.fresh("n")
        incarnation = self.incarnations.get(name, "?")
        now, workers = self.memory.workers()
        for again in (False, True)[: 1 + repeat]:
            claim = self.both(lambda s, again=again: s.claim(name, incarnation, nonce, repeat=again))
        if claim is not None and not isinstance(claim, type):
            self.held.append((name, incarnation, claim.held))
            able = [worker.info.name for worker in place(claim.job.lane, workers, now).able]
            assert name in able, "what placement says and what the stores do are the same"

    @precondition(lambda self: self.held)
    @rule(data=st.data(), outcome=outcomes, next=st.booleans(), twice=st.booleans())
    def finish(self, data: st.DataObject, outcome: Outcome, next: bool, twice: bool) -> None:
        name, incarnation, held = data.draw(st.sampled_from(self.held))
        nonce = self.fresh("n") if next else None
        chunks = [self.chunk(held, b"bye")]
        for again in (False, True)[: 1 + twice]:
            answer = self.both(
                lambda s, again=again: s.finish(
                    name, incarnation, held, outcome, chunks, next_nonce=nonce, repeat=again
                )
            )
        if answer.next is not None:
            self.held.append((name, incarnation, answer.next.held))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), lost=st.booleans(), reason=st.sampled_from([Reason.WORKER_STOPPED, Reason.NOT_STARTED]))
    def give_back(self, data: st.DataObject, lost: bool, reason: Reason) -> None:
        name, incarnation, held = data.draw(st.sampled_from(self.held))
        outcome = Outcome(reason=reason)
        self.both(lambda s: s.give_back(name, incarnation, held, outcome, lost=lost))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), text=st.binary(max_size=7), progress=st.sampled_from([None, None, 0.25, 1.0]))
    def append(self, data: st.DataObject, text: bytes, progress: float | None) -> None:
        _, _, held = data.draw(st.sampled_from(self.held))
        chunk = self.chunk(held, text)
        told = replace(held, progress=progress, note=None if progress is None else "so far")
        self.both(lambda s: s.append(told, [chunk]))
        self.both(lambda s: s.output(held.job, attempt=held.number))

    def chunk(self, held: Held, text: bytes) -> Chunk:
        at = self.offset.get((held.job, held.number), 0)
        self.offset[held.job, held.number] = at + len(text)
        return Chunk(stream=1, offset=at, data=text)

    @rule(name=st.sampled_from(sorted(WORKERS)), seconds=st.sampled_from([None, 5.0, 20.0]))
    def pause(self, name: str, seconds: float | None) -> None:
        self.both(lambda s: s.pause(name, seconds=seconds, note="why not"))

    @rule(name=st.sampled_from(sorted(WORKERS)))
    def resume(self, name: str) -> None:
        self.both(lambda s: s.resume(name))

    @rule(name=st.sampled_from(sorted(WORKERS)))
    def release(self, name: str) -> None:
        self.both(lambda s: s.release(name))

    @rule(
        name=st.sampled_from(sorted(WORKERS)),
        list_all=st.booleans(),
        busy=st.sampled_from([None, None, "busy"]),
        asking=st.booleans(),
        ago=st.sampled_from([None, None, 1.0, 3.0, 12.0]),
    )
    def pulse(self, name: str, list_all: bool, busy: str | None, asking: bool, ago: float | None) -> None:
        incarnation = self.incarnations.get(name, "?")
        mine = {held.job: held for w, _, held in self.held if w == name}
        latest = list(mine.values()) if list_all else []
        said_at = None if ago is None else round(self.clock.now - ago, 3)
        nonces = [held.nonce for held in mine.values()][:1] if asking else []
        self.both(
            lambda s: s.pulse(name, incarnation, latest, load=0.5, held_back=busy, said_at=said_at, asking=nonces)
        )

    @rule(name=st.sampled_from(sorted(WORKERS)), forgotten=st.booleans(), age=st.sampled_from([None, 0.25, 50.0]))
    def announce(self, name: str, forgotten: bool, age: float | None) -> None:
        incarnation = self.incarnations.get(name, "?")
        latest = {held.job: held for w, _, held in self.held if w == name}
        latest = {job: replace(held, age=age) for job, held in latest.items()}
        if forgotten:  # an attempt of which the store knows nothing
            for job, held in list(latest.items()):
                latest[job] = replace(held, number=held.number + 1, nonce=self.fresh("n"))
        answer = self.both(lambda s: s.announce(name, incarnation, list(latest.values())))
        if forgotten and not isinstance(answer, type):
            self.held += [(name, incarnation, latest[job]) for job in answer.stored]

    @rule()
    def the_broker_restarts(self) -> None:
        self.memory.restarted()
        self.lua._redis.hset("relayq:epoch", "run_id", "another process")
        self.admin.script_flush()
        self.both(lambda s: s.lanes()[0])

    @rule(names=st.sets(st.sampled_from(sorted(WORKERS)), min_size=1), times=st.integers(1, 6))
    def some_pulse_for_a_while(self, names: set[str], times: int) -> None:
        for _ in range(times):
            self.clock.now = round(self.clock.now + 4.0, 3)
            for name in sorted(names):
                self.pulse(name, True, None, False, None)
                self.announce(name, False, None)

    @rule(seconds=st.sampled_from([0.001, 1.0, 4.0, 4.0, 11.0, 16.0, 400.0, -0.5, -3600.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now = round(self.clock.now + seconds, 3)

    @rule(name=st.sampled_from(sorted(WORKERS)))
    def leave(self, name: str) -> None:
        mine = [held for w, _, held in self.held if w == name]
        self.both(lambda s: s.leave(name, self.incarnations.get(name, "?"), mine))

    @rule()
    def list_pages(self) -> None:
        self.both(lambda s: s.page(limit=3))
        self.both(lambda s: s.page(limit=2, states=[State.FAILED, State.QUEUED]))
        self.both(lambda s: s.page(limit=2, worker="mac"))


@pytest.mark.timeout(300)
def test_lua_and_lifecycle_never_differ(tmp_path: Path) -> None:
    """Records, answers, rings and pages are equal after every step of every history."""
    with serve_redis(tmp_path) as Twins.url:
        run_histories()


def run_histories() -> None:
    run_state_machine_as_test(
        Twins,
        settings=settings(
            max_examples=int(os.environ.get("RELAYQ_HISTORIES", "60")),
            stateful_step_count=40,
            deadline=None,
            derandomize="RELAYQ_HISTORIES" not in os.environ,
            suppress_health_check=list(HealthCheck),
        ),
    )
