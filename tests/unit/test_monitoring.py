"""Every wait explained; every status in 1.x's words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relayq import lifecycle, monitoring
from relayq.errors import BrokerUnavailable
from relayq.lifecycle import Claimed, GivenBack, LeaseExpired
from relayq.model import Bell, Job, JobSpec, Outcome, Pause, Quarantine, Reason, WorkerInfo, WorkerState
from relayq.placement import lane_for
from relayq.routes import lane_of
from relayq.store import NewJob
from relayq.store.memory import MemoryStore

NOW = 1_800_000_000.0


def job(**options: object) -> Job:
    spec = JobSpec(command="true", **options)  # type: ignore[arg-type]
    return lifecycle.submitted("j1", spec, lane_for(spec), now=NOW, place=NOW)


def worker(name: str, *, online: bool = True, running: int = 0, labels: tuple[str, ...] = ()) -> WorkerState:
    info = WorkerInfo(name=name, identity=name, incarnation="i", slots=2, labels=labels)
    return WorkerState(info=info, online=online, seen_at=NOW - (1 if online else 7200), running=running)


def sentence(the_job: Job, *workers: WorkerState) -> str:
    return monitoring.explain(the_job, workers, NOW).sentence


def test_a_job_for_a_machine_that_is_away_says_since_when() -> None:
    """The commonest wait at home."""
    text = sentence(job(on="mac"), worker("mac", online=False), worker("rpi"))
    since = monitoring.clock_time(NOW - 7200, NOW)
    assert text == f"j1 waits for mac, which is offline since {since}"


def test_a_job_behind_busy_machines_says_so() -> None:
    """Nothing is wrong: it is only full."""
    assert sentence(job(), worker("mac", running=2)) == "j1 waits for a free slot: mac is busy"


def test_a_job_nobody_can_run_says_what_it_lacks() -> None:
    """With a word for every machine."""
    explained = monitoring.explain(job(needs=("cuda",)), [worker("mac"), worker("rpi")], NOW)
    assert explained.sentence == "j1 waits: there is no worker that has cuda yet"
    assert explained.machines == {"mac": 'mac lacks "cuda"', "rpi": 'rpi lacks "cuda"'}


def test_a_job_with_no_worker_at_all_says_so() -> None:
    """The first thing a newcomer meets."""
    assert sentence(job()) == "j1 waits: there is no worker at all yet"


def test_a_paused_machine_says_why() -> None:
    """In the words of whoever paused it."""
    paused = replace(worker("mac"), paused=Pause(since=NOW, until=NOW + 3600, by="ann", note="backup"))
    until = monitoring.clock_time(NOW + 3600, NOW)
    assert sentence(job(on="mac"), paused) == f"j1 waits for mac, which is paused by ann until {until}: backup"
    draining = replace(worker("mac"), paused=Pause(since=NOW, draining=True))
    since = monitoring.clock_time(NOW, NOW)
    assert sentence(job(on="mac"), draining) == f"j1 waits for mac, which is draining since {since}"
    bad = replace(worker("mac"), quarantined=Quarantine(since=NOW, why="its disk is full"))
    assert sentence(job(on="mac"), bad) == f"j1 waits for mac, which is quarantined since {since}: its disk is full"
    shy = replace(worker("mac"), held_back="others use 97 % of its processor")
    assert sentence(job(on="mac"), shy) == "j1 waits for mac, which takes nothing new: others use 97 % of its processor"


def test_a_machine_that_could_not_start_it_is_named() -> None:
    """The way out is a look at that machine."""
    claimed = lifecycle.apply(Claimed("mac", "n"), job(), NOW)
    outcome = Outcome(reason=Reason.NOT_STARTED, message="no space left")
    back = lifecycle.apply(GivenBack(1, "n", outcome, lost=False), claimed, NOW)
    at = monitoring.clock_time(NOW + 600, NOW)
    assert sentence(back, worker("mac")) == f"j1 waits: mac could not start it; it is tried there again at {at}"


def test_a_retry_says_how_long_it_waits() -> None:
    """Backoff is a wait like any other."""
    waiting = replace(job(), not_before=NOW + 7)
    assert sentence(waiting, worker("mac")) == "j1 waits 7 s before its next attempt"


def test_a_job_whose_machine_is_lost_says_what_happens_next() -> None:
    """Before another takes it."""
    lost = lifecycle.apply(LeaseExpired(), lifecycle.apply(Claimed("mac", "n"), job(), NOW), NOW)
    assert "lost contact" in sentence(lost, worker("mac", online=False))


def test_a_broker_that_is_away_does_not_raise() -> None:
    """1.x programs ask worker_status() for that very reason."""

    class Away(MemoryStore):
        def workers(self) -> tuple[float, list[WorkerState]]:
            raise BrokerUnavailable("the broker does not answer")

    status = monitoring.worker_status(Away())
    assert (status["online"], status["workers"]) == (False, {})
    assert "does not answer" in str(status)


def test_status_keeps_the_keys_of_1x_and_prints_as_a_table() -> None:
    """Programs read the one, people the other."""
    store = MemoryStore()
    for name, labels in (("mac-mini", ("mac", "heavy")), ("rpi4-worker", ("rpi",))):
        info = WorkerInfo(name=name, identity=name, incarnation="i", slots=2, labels=labels)
        store.register(info, Bell(queue="relayq.ring.q", ring="r", channel="/0.c", nudge="n"))
        store.serve(name, ["any", f"on:{name}"], all=True)
    pinned = JobSpec(command="x", on="rpi4-worker")
    store.submit([NewJob(id=str(i), spec=pinned, lane=lane_for(pinned)) for i in range(3)])
    assert store.claim("rpi4-worker", "i", "n") is not None
    status = monitoring.worker_status(store)
    assert {k: status[k] for k in ("online", "total_workers", "total_active", "total_queued")} == {
        "online": True, "total_workers": 2, "total_active": 1, "total_queued": 2,
    }  # fmt: skip
    rpi = status["workers"]["rpi4-worker"]
    assert {k: rpi[k] for k in ("type", "active_jobs", "queued_jobs", "total_jobs", "online")} == {
        "type": "rpi", "active_jobs": 1, "queued_jobs": 2, "total_jobs": 3, "online": True,
    }  # fmt: skip
    assert "mac-mini" in str(status)
    assert all(len(line) <= 80 for line in str(status).splitlines())


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (59, "59 s"), (180, "3 min"), (7500, "2 h 5 min")])
def test_durations_are_for_people(seconds: float, text: str) -> None:
    """No digits that mean nothing."""
    assert monitoring.duration(seconds) == text


def ffmpeg_job(**options: object) -> Job:
    spec = JobSpec(command="ffmpeg -i a b", **options)  # type: ignore[arg-type]
    return lifecycle.submitted("j1", spec, lane_of(spec), now=NOW, place=NOW)


def with_ffmpeg(state: WorkerState) -> WorkerState:
    return replace(state, info=replace(state.info, capabilities=("ffmpeg",)))


def test_a_rule_that_holds_a_machine_off_says_for_whom() -> None:
    """The Pi is idle and the Mac is busy: somebody will ask why."""
    mac, rpi = with_ffmpeg(worker("mac", labels=("heavy",), running=2)), with_ffmpeg(worker("rpi"))
    explained = monitoring.explain(ffmpeg_job(), [mac, rpi], NOW)
    assert explained.sentence == "j1 waits for a free slot: mac is busy"
    assert explained.machines == {
        "mac": "mac is busy: 2 of 2 slots in use",
        "rpi": 'rpi lacks "heavy", which a rule asks for; mac has it',
    }


def test_a_rule_whose_machines_are_gone_is_dropped_and_says_so() -> None:
    """Ten minutes after the last of them was there."""
    mac = replace(with_ffmpeg(worker("mac", labels=("heavy",), online=False)), seen_at=NOW - 599)
    rpi = with_ffmpeg(worker("rpi"))
    assert sentence(ffmpeg_job(), mac, rpi).startswith("j1 waits for mac, which is offline since")
    gone = replace(mac, seen_at=NOW - 601)
    note = (
        '(a rule would send it to a machine with "ffmpeg" and "heavy", but none has been online in the last 10 minutes)'
    )
    explained = monitoring.explain(ffmpeg_job(), [gone, rpi], NOW)
    assert explained.sentence == f"j1 is about to start on rpi {note}"
    assert explained.machines["mac"].startswith("mac is offline since")
    claimed = lifecycle.apply(Claimed("rpi", "n"), ffmpeg_job(), NOW)
    running = monitoring.explain(claimed, [gone, rpi], NOW)
    assert running.sentence == f"j1 runs on rpi for 0.0 s {note}"
    assert running.machines["rpi"] == "rpi runs it"
    assert running.machines["mac"].startswith("mac is offline since")
    assert "rule" not in sentence(lifecycle.apply(Claimed("mac", "n"), ffmpeg_job(), NOW), mac, rpi)


def test_a_rule_waits_for_the_only_machine_that_has_the_program() -> None:
    """Anywhere else the job would only fail."""
    mac = with_ffmpeg(worker("mac", labels=("heavy",), online=False))
    explained = monitoring.explain(ffmpeg_job(), [mac, worker("rpi", labels=("heavy",))], NOW)
    assert explained.sentence.startswith("j1 waits for mac, which is offline since")
    assert explained.machines["rpi"] == 'rpi lacks "ffmpeg", which a rule asks for; mac has it'
    alone = monitoring.explain(ffmpeg_job(), [worker("rpi", labels=("heavy",))], NOW)
    note = '(a rule asks for "ffmpeg", which no known machine has, and is dropped)'
    assert alone.sentence == f"j1 is about to start on rpi {note}"


def test_light_work_is_for_light_machines_when_both_are_idle() -> None:
    """Otherwise for whoever is free; a wish says more."""
    mac, rpi = worker("mac", labels=("heavy",)), worker("rpi", labels=("light",), running=1)
    assert sentence(job(), mac, rpi) == "j1 is about to start on rpi"
    assert sentence(job(), mac, replace(rpi, running=2)) == "j1 is about to start on mac"
    assert sentence(job(prefer=("heavy",)), mac, rpi) == "j1 is about to start on mac"


def test_what_a_machine_lacks_is_said_in_plain_words() -> None:
    """The sentence of the specification."""
    explained = monitoring.explain(job(needs=("encoder:hevc_videotoolbox",)), [worker("rpi4-worker")], NOW)
    assert explained.sentence == "j1 waits: there is no worker that has encoder hevc_videotoolbox yet"
    assert explained.machines == {"rpi4-worker": "rpi4-worker lacks encoder hevc_videotoolbox"}
