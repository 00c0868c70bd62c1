"""Rules in the stores: who goes first, until when, and that nobody waits for nothing."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relayq.model import State, WorkerInfo
from relayq.placement import RECENT, in_turn, place
from relayq.store.memory import MemoryStore

from .conftest import DONE, Bench, Clock

LANE = "with:ffmpeg first:heavy"


def pair(bench: Bench, *, slots: int = 1) -> tuple[str, str]:
    """mac (heavy) and rpi (light), both with ffmpeg, both serving what there is of rules."""
    bench.submit("seen", command="ffmpeg")
    bench.store.cancel("seen")
    mac = bench.worker("mac", slots=slots, labels=("heavy",), has=("ffmpeg",))
    return mac, bench.worker("rpi", slots=slots, labels=("light",), has=("ffmpeg",))


def test_a_rule_sends_a_job_to_the_machine_with_its_label_busy_or_not(bench: Bench) -> None:
    """The other is not even rung, and gets nothing when it looks."""
    mac, rpi = pair(bench)
    bench.submit("busy", command="ffmpeg -i x y")
    held = bench.claim("mac", mac)
    assert held is not None
    rings = bench.rings("mac")
    bench.submit("j", command="ffmpeg -i a b")
    assert (bench.rings("rpi"), bench.rings("mac")) == (0, rings)
    assert bench.claim("rpi", rpi) is None
    assert not bench.store.pulse("rpi", rpi).work_waiting
    answer = bench.store.finish("mac", mac, held.held, DONE, next_nonce="next")
    assert answer.next is not None
    assert answer.next.job.id == "j"


def test_a_rules_label_binds_for_ten_minutes_after_its_last_machine_was_there(bench: Bench) -> None:
    """Also if it said goodbye; then whoever may takes the job, and its pulse rings."""
    mac, rpi = pair(bench)
    bench.store.leave("mac", mac)
    bench.submit("j", command="ffmpeg -i a b")
    for _ in range(int(RECENT / 4)):
        bench.clock.now += 4
        assert not bench.store.pulse("rpi", rpi).work_waiting
    assert bench.claim("rpi", rpi) is None
    bench.clock.now += 4
    assert bench.store.pulse("rpi", rpi).work_waiting
    assert bench.rings("rpi") == 1
    claim = bench.claim("rpi", rpi)
    assert claim is not None
    assert claim.job.lane == LANE
    bench.store.finish("rpi", rpi, claim.held, DONE)
    [ended] = bench.store.get(["j"])
    assert ended is not None
    assert ended.lane == LANE  # what a retry asks for


def test_a_removed_machine_binds_nobody(bench: Bench) -> None:
    """Known is registered and not removed."""
    mac, rpi = pair(bench)
    bench.store.leave("mac", mac)
    bench.store.remove_worker("mac")
    bench.submit("j", command="ffmpeg -i a b")
    assert bench.rings("rpi") == 1
    assert bench.claim("rpi", rpi) is not None


def test_a_rules_program_binds_while_a_known_machine_has_it(bench: Bench) -> None:
    """For a day, if need be: elsewhere the job would fail. If nobody has it, anybody may try."""
    bench.submit("seen", command="ffmpeg")
    bench.store.cancel("seen")
    nas = bench.worker("nas", has=("ffmpeg",))
    bench.store.leave("nas", nas)
    bare = bench.worker("bare", labels=("heavy",))
    bench.submit("j", command="ffmpeg -i a b")
    bench.clock.now += 86400
    bare = bench.worker("bare", labels=("heavy",))
    assert bench.claim("bare", bare) is None
    nas = bench.worker("nas")  # it was uninstalled there
    assert bench.claim("nas", nas) is None  # and bare is labelled heavy
    assert bench.claim("bare", bare) is not None


def test_light_work_rings_light_machines_first_and_waits_for_nobody(bench: Bench) -> None:
    """Of two idle ones the light one; a heavy one with a free slot takes what is left."""
    mac, _ = pair(bench, slots=2)
    for n in range(3):
        bench.submit(f"j{n}", command="grep x log")
    assert (bench.rings("rpi"), bench.rings("mac")) == (2, 1)
    assert bench.claim("mac", mac) is not None
    bench.submit("wish", command="grep x log", prefer=("heavy",))
    assert bench.rings("mac") == 1  # its other slot: the ring before this one is still to be heard
    assert bench.store.counts()["queued"] == 3


def test_a_wish_comes_before_light_machines(bench: Bench) -> None:
    """Whoever wishes has a reason."""
    pair(bench)
    bench.submit("wish", command="grep x log", prefer=("heavy",))
    assert (bench.rings("mac"), bench.rings("rpi")) == (1, 0)


# ── fair waiting ──

LABELS = [(), ("heavy",), ("light",), ("heavy", "mac")]
PROGRAMS = [(), ("ffmpeg",), ("ffmpeg", "blender")]
COMMANDS = ["true", "true", "ffmpeg -i a b", "blender -b a"]

machines = st.tuples(st.integers(1, 3), st.sampled_from(LABELS), st.sampled_from(PROGRAMS))
jobs = st.tuples(
    st.integers(0, 40),  # submitted in this tick
    st.integers(1, 30),  # runs for so many
    st.sampled_from(COMMANDS),
    st.integers(-10, 10),
    st.sampled_from([(), (), ("heavy",)]),
)


class Home:
    """Machines that do what workers do, tick by tick: pulse, and claim when they are rung."""

    TICK = 4.0  #: seconds: every worker pulses once a tick

    def __init__(self, machines: list[tuple[int, tuple[str, ...], tuple[str, ...]]]) -> None:
        self.clock = Clock()
        self.bench = Bench(MemoryStore(clock=self.clock), self.clock)
        self.infos: dict[str, WorkerInfo] = {}
        self.running: dict[str, list[tuple[int, Any]]] = {}
        for number, (slots, labels, has) in enumerate(machines):
            self.bench.worker(f"m{number}", slots=slots, labels=labels, has=has)
        for state in self.bench.store.workers()[1]:
            self.infos[state.info.name] = state.info
            self.running[state.info.name] = []
        self.lengths: dict[str, int] = {}
        self.waited: dict[str, float] = {}

    def submit(self, id: str, length: int, command: str, priority: int, needs: tuple[str, ...]) -> None:
        self.lengths[id] = length
        self.bench.submit(id, command=command, priority=priority, needs=needs)
        for info in self.infos.values():
            self.bench.serve(info)  # the nudge for a new lane

    def tick(self, now: int) -> None:
        self.clock.now += self.TICK
        for name, info in self.infos.items():
            held = [claim.held for _, claim in self.running[name]]
            self.bench.store.pulse(name, info.incarnation, held)
        for name, info in self.infos.items():
            for entry in [entry for entry in self.running[name] if entry[0] <= now]:
                self.running[name].remove(entry)
                answer = self.bench.store.finish(
                    name, info.incarnation, entry[1].held, DONE, next_nonce=self.bench.nonce()
                )
                self.start(name, answer.next, now)
            while self.bench.rings(name):
                self.hear(name)
                claim = self.bench.claim(name, info.incarnation)
                while claim is not None:
                    self.start(name, claim, now)
                    claim = self.bench.claim(name, info.incarnation)

    def hear(self, name: str) -> None:
        assert isinstance(self.bench.store, MemoryStore)
        self.bench.store._workers[name].rings -= 1

    def start(self, name: str, claim: Any, now: int) -> None:
        if claim is not None:
            self.waited[claim.job.id] = self.clock.now - claim.job.submitted_at
            self.running[name].append((now + self.lengths[claim.job.id], claim))

    def nobody_idles_beside_work(self) -> None:
        """After every machine has looked once, none with a free slot may run any job that waits."""
        now, workers = self.bench.store.workers()
        for job in self.bench.store.page(states=[State.QUEUED], limit=1000):
            free = in_turn(place(job.lane, workers, now).able, job.lane, ())
            assert not free, (job.id, job.lane, free)


@given(st.lists(machines, min_size=1, max_size=3), st.lists(jobs, max_size=25))
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_machine_idles_beside_a_job_it_may_run_and_nothing_starves(
    fleet: list[tuple[int, tuple[str, ...], tuple[str, ...]]], work: list[tuple[int, int, str, int, tuple[str, ...]]]
) -> None:
    """Whatever the machines, commands, priorities and lengths: at every tick, and in the end all have run."""
    home = Home(fleet)
    heavy = any("heavy" in labels for _, labels, _ in fleet)
    possible = [job for job in work if not job[4] or heavy]
    last = max((job[0] for job in possible), default=0)
    for now in range(last + sum(job[1] for job in possible) + len(possible) + 2):
        for number, (at, length, command, priority, needs) in enumerate(possible):
            if at == now:
                home.submit(f"j{number}", length, command, priority, needs)
        home.tick(now)
        home.nobody_idles_beside_work()
    assert home.waited.keys() == {f"j{number}" for number in range(len(possible))}


@given(st.integers(7, 10), st.integers(1, 3), st.sampled_from(["true", "ffmpeg -i a b"]))
@settings(max_examples=12, deadline=None, derandomize=True)
def test_endless_important_work_does_not_starve_what_waits(priority: int, lanes: int, command: str) -> None:
    """A step of priority is worth a minute: what comes later than that, in whatever lane, goes behind."""
    home = Home([(1, ("heavy",), ("ffmpeg",))])
    home.submit("patient", 1, command, priority, ())
    worth = (10 - priority) * 60.0
    step = 0
    while "patient" not in home.waited:
        for lane in range(lanes):
            home.submit(f"rush{step}-{lane}", 1, ["true", "ffmpeg -i x y", "blender x"][lane], 10, ())
        home.tick(step)
        step += 1
        assert step * home.TICK <= (lanes + 1) * worth + 8 * home.TICK
    [patient] = home.bench.store.get(["patient"])
    assert patient is not None
    for job in home.bench.store.get([id for id in home.waited if id != "patient"]):
        assert job is not None
        assert job.submitted_at <= patient.submitted_at + worth


def test_light_work_is_left_to_a_light_machine_that_has_just_been_rung_for_it(bench: Bench) -> None:
    """A heavy one that has finished a job does not snatch it; what the light one has no room for it takes at once."""
    mac, rpi = pair(bench, slots=2)
    bench.submit("video", command="ffmpeg -i a b")
    held = bench.claim("mac", mac)
    assert held is not None
    bench.submit("log", command="grep x log")
    answer = bench.store.finish("mac", mac, held.held, DONE, next_nonce="n")
    assert answer.next is None
    bench.submit("wish", command="grep x log", prefer=("heavy",), priority=10)
    claim = bench.claim("mac", mac)
    assert claim is not None
    assert claim.job.id == "wish"
    bench.submit("two", command="grep x log")
    bench.submit("three", command="grep x log")
    claim = bench.claim("mac", mac)
    assert claim is not None  # three jobs wait, and the light machine has two slots
    claims = [bench.claim("rpi", rpi) for _ in range(3)]
    assert [each.job.id for each in claims if each] == ["two", "three"]


def test_a_light_machine_that_does_not_answer_its_ring_is_waited_for_a_second_only(bench: Bench) -> None:
    """Rings may be lost: nobody idles for that."""
    mac, _ = pair(bench)
    bench.submit("log", command="grep x log")
    assert bench.claim("mac", mac) is None
    bench.clock.now += 1
    assert bench.claim("mac", mac) is not None


def test_a_job_lost_with_the_only_heavy_machine_is_taken_over_after_ten_minutes(bench: Bench) -> None:
    """A label binds an offered job as it binds a waiting one; nobody waits for ever."""
    mac, rpi = pair(bench)
    bench.submit("j", command="ffmpeg -i a b")
    assert bench.claim("mac", mac) is not None
    taken, lost_at = None, bench.clock.now
    while taken is None and bench.clock.now < lost_at + 2 * RECENT:
        bench.clock.now += 4
        waiting = bench.store.pulse("rpi", rpi).work_waiting
        taken = bench.claim("rpi", rpi)
        assert waiting == (taken is not None)
    assert taken is not None
    assert RECENT < bench.clock.now - lost_at <= RECENT + 8
    assert [attempt.worker for attempt in taken.job.attempts] == ["mac", "rpi"]
