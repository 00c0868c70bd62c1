"""Machines, jobs and the home page's sentence as data: the same for pages, terminal and programs."""

from __future__ import annotations

from relayq.model import Attempt, Bell, Job, JobSpec, Outcome, Readings, Reason, State, WorkerInfo
from relayq.monitoring import details, job_row, machine, overview
from relayq.placement import lane_for
from relayq.store import NewJob
from relayq.store.memory import MemoryStore

NOW = 1_800_000_000.0


class Bench:
    """A store whose clock a test moves."""

    def __init__(self) -> None:
        self.now = NOW
        self.store = MemoryStore(clock=lambda: self.now)

    def worker(self, name: str, *, slots: int = 2) -> None:
        bell = Bell(queue=f"q.{name}", ring="r", channel="c", nudge="n")
        self.store.register(WorkerInfo(name=name, identity=name, incarnation="i", slots=slots), bell)
        self.store.serve(name, ["any", f"on:{name}"], all=True)

    def submit(self, id: str, **options: object) -> None:
        spec = JobSpec(command="true", **options)  # type: ignore[arg-type]
        self.store.submit([NewJob(id=id, spec=spec, lane=lane_for(spec), anyway=True)])


def test_the_sentence_says_what_runs_what_waits_and_for_whom() -> None:
    """The home page in one line."""
    bench = Bench()
    assert overview(bench.store).sentence == "No machine has joined yet"
    bench.submit("a")
    assert overview(bench.store).sentence == "No machine has joined yet · 1 waiting"
    bench.worker("mac")
    bench.worker("rpi")
    assert bench.store.claim("rpi", "i", "n")
    for n in range(3):
        bench.submit(f"m{n}", on="mac")
    bench.submit("b", on="rpi")
    bench.now += 8
    bench.store.pulse("rpi", "i")
    bench.now += 8
    seen = overview(bench.store)
    since = seen.machines[0].why
    assert seen.sentence == f"1 of 2 machines up · 1 running · 4 waiting (3 for mac, which {since})"
    assert [row.id for row in seen.waiting] == ["m0", "m1", "m2", "b"]


def test_a_machine_that_is_away_shows_no_old_readings() -> None:
    """What was so before it left is not so now."""
    bench = Bench()
    bench.worker("mac")
    bench.store.pulse("mac", "i", readings=Readings(cpu=0.5, memory=0.25, temperature=60.0))
    assert overview(bench.store).machines[0].cpu == 0.5
    bench.now += 600
    away = overview(bench.store).machines[0]
    assert (away.online, away.cpu, away.temperature, away.since) == (False, None, None, NOW)


def test_a_waiting_job_has_its_ways_out() -> None:
    """Resume whom somebody paused, run elsewhere what is tied to a machine that is away, cancel."""
    bench = Bench()
    bench.worker("mac")
    bench.worker("rpi")
    bench.store.pause("mac", by="ann")
    bench.submit("a", on="mac")
    now, workers = bench.store.workers()
    row = job_row(bench.store.get(["a"])[0], workers, now)  # type: ignore[arg-type]
    assert [(way.verb, way.worker) for way in row.way_out] == [
        ("resume", "mac"),
        ("run-elsewhere", None),
        ("cancel", None),
    ]
    assert row.way_out[1].label == "Run on rpi"


def attempt(number: int, worker: str, begun: float, ended: float | None, reason: Reason | None) -> Attempt:
    outcome = Outcome(reason=reason, exit_code=0 if reason is Reason.EXITED else None) if reason else None
    return Attempt(number=number, nonce="n", worker=worker, claimed_at=begun, ended_at=ended, outcome=outcome)


def test_the_timeline_tells_a_job_that_was_lost_and_ran_elsewhere() -> None:
    """In the order of what happened."""
    job = Job(
        id="j",
        spec=JobSpec(command="true", env={"TOKEN": "secret"}),
        state=State.SUCCEEDED,
        lane="any",
        submitted_at=NOW,
        place=NOW,
        attempts=(
            attempt(1, "mac", NOW + 1, NOW + 30, Reason.WORKER_LOST),
            attempt(2, "rpi", NOW + 30, NOW + 60, Reason.EXITED),
        ),
        losses=1,
        ended_at=NOW + 60,
        reason=Reason.EXITED,
    )
    told = details(job, [], NOW + 100)
    assert [(moment.what, moment.worker) for moment in told.timeline] == [
        ("queued", None),
        ("claimed", "mac"),
        ("lost", "mac"),
        ("claimed", "rpi"),
        ("ended", "rpi"),
        ("finished", "rpi"),
    ]
    assert told.spec["env"] == {"TOKEN": "•••"}
    assert told.attempts == 2
    assert "secret" not in repr(told)


def test_heartbeats_of_a_card_are_a_whole_day() -> None:
    """Also of a machine that has just joined."""
    bench = Bench()
    bench.worker("mac")
    now, workers = bench.store.workers()
    assert machine(workers[0], now).heartbeats == (None,) * 96
