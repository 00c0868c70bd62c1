"""What every store must do."""

from __future__ import annotations

import dataclasses
import threading

import pytest

from relayq.errors import (
    BrokerUnavailable,
    IdTaken,
    NameTaken,
    NoSuchWorker,
    Refused,
    Replaced,
    StaleAttempt,
    UnknownJob,
)
from relayq.model import (
    Bell,
    Capability,
    Chunk,
    Held,
    JobSpec,
    OnLost,
    Outcome,
    Readings,
    Reason,
    Reprobe,
    State,
)
from relayq.placement import lane_for
from relayq.store import NewJob, Unserved
from relayq.store.memory import MemoryStore

from .conftest import DONE, FAILED, Bench


def test_a_job_goes_from_queued_to_succeeded(bench: Bench) -> None:
    """The thin path: submit, claim, finish."""
    inc = bench.worker()
    bench.submit("a")
    claim = bench.claim("w", inc)
    assert claim is not None
    assert (claim.job.id, claim.job.state, claim.job.worker) == ("a", State.RUNNING, "w")
    answer = bench.store.finish("w", inc, claim.held, DONE)
    assert (answer.heard, answer.state, answer.next) == (True, State.SUCCEEDED, None)
    [job] = bench.store.get(["a"])
    assert job is not None
    assert job.reason is Reason.EXITED
    assert job.attempts[0].outcome == DONE


def test_submitting_the_same_id_again_changes_nothing(bench: Bench) -> None:
    """A client that never heard the answer may ask again."""
    bench.submit("a")
    bench.clock.now += 5
    bench.submit("a")
    [job] = bench.store.get(["a"])
    assert job is not None
    assert job.submitted_at == 1_800_000_000.0
    assert bench.store.counts()[State.QUEUED] == 1


def test_an_id_belongs_to_one_spec(bench: Bench) -> None:
    """Another job under a taken id would be lost silently."""
    bench.submit("a")
    with pytest.raises(IdTaken):
        bench.submit("a", command="false")


def test_jobs_submitted_together_are_claimed_in_that_order(bench: Bench) -> None:
    """A batch has one instant but keeps its order."""
    inc = bench.worker(slots=100)
    ids = [f"z{(i * 7) % 50:02}" for i in range(50)]
    spec = JobSpec(command="true")
    bench.store.submit([NewJob(id=id, spec=spec, lane="any") for id in ids])
    claimed = [claim.job.id for _ in ids if (claim := bench.claim("w", inc))]
    assert claimed == ids


def test_priority_is_worth_a_minute_of_waiting_a_step(bench: Bench) -> None:
    """Ageing without rescoring: an old job of low priority is not passed for ever."""
    inc = bench.worker(slots=9)
    bench.submit("old", priority=0)
    bench.clock.now += 90
    bench.submit("new", priority=1)
    bench.submit("urgent", priority=2)
    assert [c.job.id for _ in range(3) if (c := bench.claim("w", inc))] == ["urgent", "old", "new"]


def test_the_best_job_is_taken_over_all_lanes(bench: Bench) -> None:
    """A worker's lanes are one line to it."""
    bench.submit("c")
    bench.submit("a", needs=("heavy",))
    bench.submit("b", on="w")
    inc = bench.worker(labels=("heavy",), slots=9)
    assert [c.job.id for _ in range(3) if (c := bench.claim("w", inc))] == ["c", "a", "b"]


def test_a_worker_takes_only_what_it_serves(bench: Bench) -> None:
    """Routing is the claim's doing, not the ring's."""
    inc = bench.worker()
    bench.submit("a", needs=("heavy",))
    bench.submit("b", on="other")
    assert bench.claim("w", inc) is None


def test_no_job_is_claimed_beyond_the_slots(bench: Bench) -> None:
    """Busy workers do not hoard."""
    inc = bench.worker(slots=1)
    bench.submit("a")
    bench.submit("b")
    first = bench.claim("w", inc)
    assert first is not None
    assert bench.claim("w", inc) is None
    answer = bench.store.finish("w", inc, first.held, DONE, next_nonce="x")
    assert answer.next is not None
    assert answer.next.job.id == "b"


def test_a_repeated_claim_gets_the_same_answer(bench: Bench) -> None:
    """An answer lost on the way must not strand the job it carried."""
    inc = bench.worker()
    bench.submit("a")
    bench.submit("b")
    first = bench.store.claim("w", inc, "n")
    again = bench.store.claim("w", inc, "n", repeat=True)
    assert first is not None
    assert again is not None
    assert again.job == first.job


def test_a_repeated_finish_gets_the_same_answer(bench: Bench) -> None:
    """Finish and the claim in it are one call, repeated as one."""
    inc = bench.worker()
    bench.submit("a")
    bench.submit("b")
    held = bench.store.claim("w", inc, "n").held  # type: ignore[union-attr]
    first = bench.store.finish("w", inc, held, DONE, next_nonce="m")
    again = bench.store.finish("w", inc, held, DONE, next_nonce="m", repeat=True)
    assert again == first
    assert again.next is not None
    assert again.next.job.id == "b"


def test_a_requirement_nobody_meets_is_asked_back(bench: Bench) -> None:
    """Nothing is submitted; the caller decides who serves the lane."""
    bench.worker()
    spec = JobSpec(command="true", needs=("heavy",))
    new = NewJob(id="a", spec=spec, lane=lane_for(spec))
    with pytest.raises(Unserved) as caught:
        bench.store.submit([new, NewJob(id="b", spec=JobSpec(command="x"), lane="any")])
    assert caught.value.lanes == ("needs:heavy",)
    assert bench.store.get(["a", "b"]) == [None, None]
    bench.store.serve("w", ["needs:heavy"], all=False)
    bench.store.submit([new])
    assert bench.store.get(["a"])[0] is not None


def test_a_restarted_workers_jobs_are_kept_for_it(bench: Bench) -> None:
    """Two minutes, so that an upgrade does not look like a loss (P10)."""
    inc, other = bench.worker(), bench.worker("other")
    bench.submit("a")
    claim = bench.claim("w", inc)
    assert claim is not None
    stale = Held(job="a", number=1, nonce="superseded")
    assert bench.store.leave("w", inc, [stale, claim.held]) == {claim.held: 120.0}
    for _ in range(29):
        bench.clock.now += 4
        bench.store.pulse("other", other)
        assert bench.claim("other", other) is None
    bench.clock.now += 5
    bench.store.pulse("other", other)
    assert bench.claim("other", other) is not None


def test_a_handover_is_not_cut_short(bench: Bench) -> None:
    """Its supervisor was told two minutes: no restart, no late pulse and no new worker that dies may shorten it."""
    inc, other = bench.worker(), bench.worker("other")
    bench.submit("a")
    claim = bench.claim("w", inc)
    assert claim is not None
    bench.store.leave("w", inc, [claim.held])
    bench.store.pulse("w", inc, [claim.held])  # sent before, come after
    restart_broker(bench)
    bench.store.pulse("other", other)
    bench.store.announce("other", other, [])
    info = bench.store.workers()[1][-1].info
    bell = Bell(queue="relayq.ring.w", ring="r", channel="/0.c", nudge="n")
    assert bench.store.register(dataclasses.replace(info, incarnation="new"), bell, [claim.held]).adopted
    for _ in range(28):
        bench.clock.now += 4
        bench.store.pulse("other", other)
        assert bench.claim("other", other) is None
    bench.clock.now += 10
    bench.store.pulse("other", other)
    assert bench.claim("other", other) is not None


def test_a_registration_that_was_held_up_is_not_heard(bench: Bench) -> None:
    """It knows nothing of what began since, and may be of a process that is dead."""
    said_at = bench.clock.now
    inc = bench.worker()
    bench.submit("a")
    claim = bench.claim("w", inc)
    assert claim is not None
    bench.clock.now += 4
    info = bench.store.workers()[1][0].info
    bell = Bell(queue="relayq.ring.w", ring="r", channel="/0.c", nudge="n")
    with pytest.raises(BrokerUnavailable):
        bench.store.register(dataclasses.replace(info, incarnation="dead"), bell, [], said_at=said_at)
    assert bench.store.pulse("w", inc, [claim.held]).term


def test_a_lane_added_meanwhile_is_not_dropped(bench: Bench) -> None:
    """A worker says which of the lanes it knew it serves, while a client has had it serve a new one."""
    bench.worker()
    version, lanes = bench.store.lanes()
    bench.store.serve("w", ["needs:new"], all=False)
    assert bench.store.serve("w", lanes, all=True, version=version) > version
    bench.submit("a", needs=("new",))
    assert bench.rings("w") == 1


def test_while_workers_have_not_spoken_no_patience_ends(bench: Bench) -> None:
    """What seems to wait may be running; and an outage is no time in which anybody could have taken it."""
    inc = bench.worker()
    bench.submit("a", queue_timeout=20.0)
    bench.store.pulse("w", inc)
    bench.clock.now += 30
    restart_broker(bench)
    assert bench.store.pulse("w", inc).announce
    bench.store.announce("w", inc, [])
    bench.store.pulse("w", inc)
    assert bench.store.get(["a"])[0].state is State.QUEUED  # type: ignore[union-attr]
    assert bench.claim("w", inc) is not None


def test_a_leaving_workers_long_job_keeps_its_longer_lease(bench: Bench) -> None:
    """A tenth of an hour is more than two minutes."""
    inc = bench.worker()
    bench.submit("a")
    claim = bench.claim("w", inc)
    assert claim is not None
    for _ in range(300):
        bench.clock.now += 12
        bench.store.pulse("w", inc, [claim.held])
    assert bench.store.leave("w", inc, [claim.held]) == {claim.held: pytest.approx(360)}


def test_a_new_lane_changes_the_version(bench: Bench) -> None:
    """That is how workers learn that there is something to look at."""
    inc = bench.worker()
    before = bench.store.pulse("w", inc).lanes_version
    bench.submit("a", needs=("heavy",))
    assert bench.store.pulse("w", inc).lanes_version == before + 1
    assert bench.store.lanes()[0] == before + 1
    assert set(bench.store.lanes()[1]) == {"any", "needs:heavy"}


def test_failure_with_retries_waits_longer_each_time(bench: Bench) -> None:
    """Exponential backoff, then the end."""
    inc = bench.worker()
    bench.submit("a", retries=2, retry_delay=2.0)
    for delay in (2.0, 4.0):
        claim = bench.claim("w", inc)
        assert claim is not None
        answer = bench.store.finish("w", inc, claim.held, FAILED)
        assert answer.state is State.QUEUED
        assert bench.claim("w", inc) is None
        bench.clock.now += delay - 0.1
        assert bench.claim("w", inc) is None
        bench.clock.now += 0.2
    claim = bench.claim("w", inc)
    assert claim is not None
    assert bench.store.finish("w", inc, claim.held, FAILED).state is State.FAILED
    [job] = bench.store.get(["a"])
    assert job is not None
    assert [a.outcome for a in job.attempts] == [FAILED] * 3


def test_cancelling_a_waiting_job_ends_it(bench: Bench) -> None:
    """In that very call."""
    inc = bench.worker()
    bench.submit("a")
    assert bench.store.cancel("a").state is State.CANCELLED
    assert bench.claim("w", inc) is None


def test_cancelling_a_running_job_tells_its_worker(bench: Bench) -> None:
    """And forbids further attempts, whatever the worker says."""
    inc = bench.worker()
    bench.submit("a", retries=5)
    claim = bench.claim("w", inc)
    assert claim is not None
    assert bench.store.cancel("a").state is State.RUNNING
    assert bench.store.pulse("w", inc, [claim.held]).cancelled == ("a",)
    killed = Outcome(reason=Reason.CANCELLED, signal=15)
    assert bench.store.finish("w", inc, claim.held, killed).state is State.CANCELLED


def test_an_exit_before_the_signal_is_recorded_as_it_was(bench: Bench) -> None:
    """Cancelling too late does not rewrite history."""
    inc = bench.worker()
    bench.submit("a")
    claim = bench.claim("w", inc)
    assert claim is not None
    bench.store.cancel("a")
    assert bench.store.finish("w", inc, claim.held, DONE).state is State.SUCCEEDED
    assert bench.store.cancel("a").state is State.SUCCEEDED


def test_an_unknown_job_is_said_to_be_unknown(bench: Bench) -> None:
    """By every call that names one."""
    with pytest.raises(UnknownJob):
        bench.store.cancel("nope")
    with pytest.raises(UnknownJob):
        bench.store.output("nope")
    assert bench.store.get(["nope"]) == [None]


def test_an_expired_attempt_is_offered_and_superseded(bench: Bench) -> None:
    """The plain lease rule: after the term another worker in unbroken contact takes the job as attempt 2."""
    lost, taker = bench.worker("lost"), bench.worker("taker")
    bench.submit("a")
    claim = bench.claim("lost", lost)
    assert claim is not None
    for _ in range(3):
        bench.clock.now += 4
        assert bench.claim("taker", taker) is None
        bench.store.pulse("taker", taker)
    bench.clock.now += 4
    second = bench.claim("taker", taker)
    assert second is not None
    assert [a.worker for a in second.job.attempts] == ["lost", "taker"]
    assert second.job.attempts[0].outcome == Outcome(reason=Reason.WORKER_LOST)
    assert second.job.losses == 1
    with pytest.raises(StaleAttempt):
        bench.store.append(claim.held, [Chunk(stream=1, offset=0, data=b"ghost")])
    assert not bench.store.finish("lost", lost, claim.held, DONE).heard
    assert bench.store.pulse("lost", lost, [claim.held]).superseded == ("a",)
    assert bench.store.finish("taker", taker, second.held, DONE).state is State.SUCCEEDED


def test_an_offer_is_withdrawn_when_the_owner_renews_first(bench: Bench) -> None:
    """A short silence costs nothing."""
    owner, other = bench.worker("owner"), bench.worker("other")
    bench.submit("a")
    claim = bench.claim("owner", owner)
    assert claim is not None
    bench.clock.now += 20
    bench.store.pulse("other", other)
    assert "a" in bench.store.pulse("owner", owner, [claim.held]).term
    bench.clock.now += 9
    bench.store.pulse("other", other)
    assert bench.claim("other", other) is None


def test_nobody_takes_over_across_a_gap_in_its_own_contact(bench: Bench) -> None:
    """After an outage everyone has been away: the owner must have the time to say so (P6)."""
    owner, other = bench.worker("owner"), bench.worker("other")
    bench.submit("a")
    assert bench.claim("owner", owner) is not None
    bench.clock.now += 100
    assert bench.store.pulse("other", other).announce
    bench.store.announce("other", other, [])
    assert bench.claim("other", other) is None
    for _ in range(3):
        bench.clock.now += 4
        bench.store.pulse("other", other)
        assert bench.claim("other", other) is None
    bench.clock.now += 4
    bench.store.pulse("other", other)
    assert bench.claim("other", other) is not None


def test_patience_grows_with_sunk_work(bench: Bench) -> None:
    """The term is a tenth of the elapsed time, from 15 s to 10 min."""
    inc = bench.worker()
    bench.submit("a")
    claim = bench.claim("w", inc)
    assert claim is not None
    assert claim.term == 15.0
    for elapsed, term in ((100, 15.0), (400, 40.0), (100_000, 600.0)):
        bench.clock.now = 1_800_000_000.0 + elapsed
        assert bench.store.pulse("w", inc, [claim.held]).term == {"a": pytest.approx(term)}


def test_on_lost_fail_is_applied_by_the_same_rule(bench: Bench) -> None:
    """By a worker that could have taken it, not before."""
    lost, other = bench.worker("lost"), bench.worker("other")
    bench.submit("a", on_lost=OnLost.FAIL)
    assert bench.claim("lost", lost) is not None
    for _ in range(5):
        bench.clock.now += 4
        bench.store.pulse("other", other)
    assert bench.claim("other", other) is None
    [job] = bench.store.get(["a"])
    assert job is not None
    assert (job.state, job.reason) == (State.FAILED, Reason.WORKER_LOST)


def test_on_lost_wait_is_never_offered(bench: Bench) -> None:
    """Its owner may come back tomorrow."""
    lost, other = bench.worker("lost"), bench.worker("other")
    bench.submit("a", on_lost=OnLost.WAIT)
    claim = bench.claim("lost", lost)
    assert claim is not None
    for _ in range(50):
        bench.clock.now += 4
        bench.store.pulse("other", other)
    assert bench.claim("other", other) is None
    assert bench.store.finish("lost", lost, claim.held, DONE).state is State.SUCCEEDED


def test_a_job_lost_too_often_is_poison(bench: Bench) -> None:
    """It may be what kills the machines."""
    names = ["a", "b", "c", "d"]
    incs = {name: bench.worker(name, slots=1) for name in names}
    bench.submit("p")
    claim = bench.claim("a", incs["a"])
    assert claim is not None
    for taker in names[1:]:
        for _ in range(6):
            bench.clock.now += 4
            bench.store.pulse("d", incs["d"])
            if taker != "d":
                bench.store.pulse(taker, incs[taker])
        claim = bench.claim(taker, incs[taker])
        assert (claim is None) == (taker == "d")
    [job] = bench.store.get(["p"])
    assert job is not None
    assert (job.state, job.reason, job.losses, len(job.attempts)) == (State.FAILED, Reason.POISON, 3, 3)


def test_a_claim_on_its_way_is_not_given_back(bench: Bench) -> None:
    """Its answer may be held up by a link that comes back; then the process would start twice."""
    inc = bench.worker()
    bench.submit("a")
    claim = bench.claim("w", inc)
    assert claim is not None
    nonce = claim.held.nonce
    for _ in range(3):
        bench.clock.now += 4
        bench.store.pulse("w", inc, asking=["another", nonce])
    assert bench.store.pulse("w", inc, [claim.held]).term
    bench.clock.now += 4
    bench.store.pulse("w", inc, asking=["another"])
    [job] = bench.store.get(["a"])
    assert job is not None
    assert job.state is State.QUEUED


def test_a_late_pulse_gives_nothing_back(bench: Bench) -> None:
    """Sent before the claim, it comes through a mended link long after it."""
    inc = bench.worker()
    said_at = bench.clock.now
    bench.submit("a")
    assert bench.claim("w", inc) is not None
    bench.clock.now += 11
    bench.store.pulse("w", inc, said_at=said_at)
    assert bench.store.get(["a"])[0].state is State.RUNNING  # type: ignore[union-attr]
    bench.store.pulse("w", inc, said_at=bench.clock.now - 1)
    assert bench.store.get(["a"])[0].state is State.QUEUED  # type: ignore[union-attr]


def test_what_its_worker_does_not_list_is_given_back_uncounted(bench: Bench) -> None:
    """A claim whose answer was lost must not look like a lost machine (P4)."""
    inc = bench.worker()
    bench.submit("a")
    assert bench.claim("w", inc) is not None
    bench.clock.now += 4
    bench.store.pulse("w", inc)
    assert bench.store.get(["a"])[0].state is State.RUNNING  # type: ignore[union-attr]
    bench.clock.now += 8
    bench.store.pulse("w", inc)
    [job] = bench.store.get(["a"])
    assert job is not None
    assert (job.state, job.losses) == (State.QUEUED, 0)


def test_a_restarted_worker_keeps_what_it_still_runs_and_gives_back_the_rest(bench: Bench) -> None:
    """In the registering call, without waiting for the lease (P9)."""
    inc = bench.worker()
    bench.submit("kept")
    bench.submit("gone")
    kept, gone = bench.claim("w", inc), bench.claim("w", inc)
    assert kept is not None
    assert gone is not None
    info = bench.store.workers()[1][0].info
    answer = bench.store.register(
        dataclasses.replace(info, incarnation="new"),
        Bell(queue="relayq.ring.w", ring="r", channel="/0.c", nudge="n"),
        [kept.held],
    )
    assert answer.adopted == (kept.held,)
    states = [job.state for job in bench.store.get(["kept", "gone"]) if job]
    assert states == [State.RUNNING, State.QUEUED]
    with pytest.raises(Replaced):
        bench.store.pulse("w", inc)
    with pytest.raises(Replaced):
        bench.claim("w", inc)
    assert bench.store.finish("w", "new", kept.held, DONE).state is State.SUCCEEDED


@pytest.mark.parametrize("forgotten", [False, True], ids=["known", "forgotten"])
def test_of_two_attempts_at_one_job_a_restarted_worker_keeps_the_one_that_counts(bench: Bench, forgotten: bool) -> None:
    """Its supervisor knows both: the first died with another supervisor, and nobody has heard of it yet."""
    inc = bench.worker()
    bench.submit("a")
    first = Held(job="a", number=1, nonce="lost")
    second = Held(job="a", number=2, nonce="kept")
    if not forgotten:
        for held in (first, second):
            claim = bench.store.claim("w", inc, held.nonce)
            assert claim is not None
            assert claim.held == held
            if held is first:
                bench.store.give_back("w", inc, held, Outcome(reason=Reason.KILLED), lost=True)
    info = bench.store.workers()[1][0].info
    bell = Bell(queue="relayq.ring.w", ring="r", channel="/0.c", nudge="n")
    answer = bench.store.register(dataclasses.replace(info, incarnation="new"), bell, [first, second])
    assert answer.adopted == (second,)
    answer = bench.store.register(dataclasses.replace(info, incarnation="newer"), bell, [second, first])
    assert answer.adopted == (second,)


def test_a_taken_name_is_refused_to_another_machine(bench: Bench) -> None:
    """While its holder is online or holds an attempt (P8)."""
    inc = bench.worker("w", identity="one")
    with pytest.raises(NameTaken):
        bench.worker("w", identity="two")
    bench.submit("a")
    assert bench.claim("w", inc) is not None
    bench.clock.now += 60
    with pytest.raises(NameTaken):
        bench.worker("w", identity="two")
    bench.store.cancel("a")
    assert bench.store.pulse("w", inc).announce
    bench.store.announce("w", inc, [])
    bench.store.pulse("w", inc)
    bench.store.leave("w", inc)
    bench.worker("w", identity="two")
    assert [w.info.identity for w in bench.store.workers()[1]] == ["two"]


def test_a_worker_that_left_is_away_at_once_and_can_be_removed(bench: Bench) -> None:
    """A clean goodbye needs no patience."""
    inc = bench.worker()
    with pytest.raises(Refused):
        bench.store.remove_worker("w")
    bench.clock.now += 3
    bench.store.leave("w", inc)
    [state] = bench.store.workers()[1]
    assert (state.online, state.left, state.seen_at) == (False, True, bench.clock.now)
    bench.store.remove_worker("w")
    assert bench.store.workers()[1] == []
    with pytest.raises(NoSuchWorker):
        bench.store.remove_worker("w")


def test_given_back_jobs_are_claimed_again_at_their_place(bench: Bench) -> None:
    """Without losing their turn, or a retry."""
    inc = bench.worker()
    bench.submit("first")
    bench.submit("second")
    claim = bench.claim("w", inc)
    assert claim is not None
    outcome = Outcome(reason=Reason.WORKER_STOPPED)
    assert bench.store.give_back("w", inc, claim.held, outcome, lost=False).state is State.QUEUED
    again = bench.claim("w", inc)
    assert again is not None
    assert (again.job.id, again.job.attempts[-1].number, again.job.losses) == ("first", 2, 0)


def test_queue_timeout_fails_a_job_that_nobody_took(bench: Bench) -> None:
    """A report that is late is no use."""
    inc = bench.worker()
    bench.submit("a", on="away", queue_timeout=30.0)
    bench.store.pulse("w", inc)
    for _ in range(7):
        bench.clock.now += 4
        bench.store.pulse("w", inc)
    assert bench.store.get(["a"])[0].state is State.QUEUED  # type: ignore[union-attr]
    bench.clock.now += 3
    bench.store.pulse("w", inc)
    [job] = bench.store.get(["a"])
    assert job is not None
    assert (job.state, job.reason) == (State.FAILED, Reason.QUEUE_TIMED_OUT)


def test_where_no_worker_is_there_those_who_wait_make_time_pass(bench: Bench) -> None:
    """A limit on waiting must hold most of all where nobody comes."""
    bench.submit("a", queue_timeout=30.0)
    bench.clock.now += 31
    assert [job.reason for job in bench.store.watch("me", ["a"])] == [Reason.QUEUE_TIMED_OUT]


def test_output_is_read_from_a_position_and_repeats_are_harmless(bench: Bench) -> None:
    """A worker that is not sure whether it was heard says it again."""
    inc = bench.worker()
    bench.submit("a")
    claim = bench.claim("w", inc)
    assert claim is not None
    one, two = Chunk(stream=1, offset=0, data=b"one\n"), Chunk(stream=2, offset=0, data=b"err\xff\n")
    bench.store.append(claim.held, [one, two])
    first = bench.store.output("a")
    assert first.chunks == (one, two)
    bench.store.append(claim.held, [one, Chunk(stream=1, offset=2, data=b"e\ntwo\n")])
    more = bench.store.output("a", position=first.next)
    assert more.chunks == (Chunk(stream=1, offset=4, data=b"two\n"),)
    assert not more.ended
    last = Chunk(stream=2, offset=5, data=b"end")
    bench.store.finish("w", inc, claim.held, DONE, [last])
    rest = bench.store.output("a", position=more.next)
    assert (rest.chunks, rest.ended) == ((last,), True)


def test_output_keeps_head_and_tail(bench: Bench) -> None:
    """Endless output does not grow; what is missing shows in the offsets."""
    inc = bench.worker()
    bench.submit("a", max_output_bytes=20)
    claim = bench.claim("w", inc)
    assert claim is not None
    for i in range(100):
        bench.store.append(claim.held, [Chunk(stream=1, offset=3 * i, data=b"%02d\n" % i)])
    chunks = bench.store.output("a").chunks
    assert b"".join(c.data for c in chunks) == b"00\n01\n02\n0" + b"\n97\n98\n99\n"
    assert chunks[-1].offset == 297
    [middle] = [c for c in chunks if c.data == b"\n"]
    assert middle.offset == 3 * 96 + 2


def test_a_follower_hears_of_output_and_of_the_end(bench: Bench) -> None:
    """Without asking again and again."""
    inc = bench.worker()
    bench.submit("a")
    claim = bench.claim("w", inc)
    assert claim is not None
    assert bench.store.watch("me", ["a"]) == []
    assert bench.store.watch("me", ["a"], output=True) == []
    chunk = Chunk(stream=1, offset=0, data=b"hi\n")
    bench.store.append(claim.held, [chunk])
    cursor, changes = bench.store.wait("me", "0", 1.0)
    assert [(c.job, c.what) for c in changes] == [("a", "output")]
    bench.store.finish("w", inc, claim.held, DONE)
    cursor, changes = bench.store.wait("me", cursor, 1.0, {"a": claim.job.spec})
    assert [(c.job, c.what, c.chunks) for c in changes] == [("a", "succeeded", (chunk,))]
    assert changes[0].record == bench.store.get(["a"])[0]
    assert bench.store.wait("me", cursor, 0.05) == (cursor, [])
    assert [job.id for job in bench.store.watch("me", ["a"])] == ["a"]


def test_the_submitter_hears_of_the_end_without_asking(bench: Bench) -> None:
    """Submitting with an inbox spares a round trip."""
    inc = bench.worker()
    spec = JobSpec(command="true")
    bench.store.submit([NewJob(id="a", spec=spec, lane="any")], inbox="me")
    claim = bench.claim("w", inc)
    assert claim is not None
    bench.store.finish("w", inc, claim.held, DONE)
    assert [c.what for c in bench.store.wait("me", "0", 1.0)[1]] == ["succeeded"]


def test_waiting_is_woken_by_the_change(bench: Bench) -> None:
    """Blocking, not polling."""
    inc = bench.worker()
    spec = JobSpec(command="true")
    bench.store.submit([NewJob(id="a", spec=spec, lane="any")], inbox="me")
    claim = bench.claim("w", inc)
    assert claim is not None
    heard: list[str] = []
    thread = threading.Thread(target=lambda: heard.extend(c.what for c in bench.store.wait("me", "0", 3.0)[1]))
    thread.start()
    bench.store.finish("w", inc, claim.held, DONE)
    thread.join(2.0)
    assert heard == ["succeeded"]


def test_pages_are_newest_first_by_state_and_worker(bench: Bench) -> None:
    """Listing costs a page, however long the history is."""
    inc = bench.worker(slots=100)
    for i in range(30):
        bench.submit(f"j{i:02}")
        bench.clock.now += 1
    for i in range(20):
        claim = bench.claim("w", inc)
        assert claim is not None
        bench.store.finish("w", inc, claim.held, DONE if i % 2 else FAILED)
    page = bench.store.page(limit=10)
    assert [job.id for job in page] == [f"j{i:02}" for i in range(29, 19, -1)]
    page = bench.store.page(limit=10, before=page[-1].place)
    assert [job.id for job in page] == [f"j{i:02}" for i in range(19, 9, -1)]
    failed = bench.store.page(states=[State.FAILED], worker="w", limit=5)
    assert [job.id for job in failed] == ["j18", "j16", "j14", "j12", "j10"]
    assert len(bench.store.page(worker="w", limit=99)) == 20
    assert bench.store.page(worker="other") == []
    assert [j.id for j in bench.store.page(since=1_800_000_028.0)] == ["j29", "j28"]
    assert bench.store.counts() == {
        State.QUEUED: 10, State.RUNNING: 0, State.SUCCEEDED: 10, State.FAILED: 10, State.CANCELLED: 0,
    }  # fmt: skip


def test_ids_are_found_by_prefix(bench: Bench) -> None:
    """People type the first letters."""
    for id in ("abc", "abd", "xyz"):
        bench.submit(id)
    assert bench.store.find("ab") == ["abc", "abd"]
    assert bench.store.find("x") == ["xyz"]
    assert bench.store.find("q") == []


def test_rings_go_to_free_slots_only(bench: Bench) -> None:
    """At most one waiting ring a free slot; a busy worker is not rung (P3)."""
    bench.worker("big", slots=3)
    small = bench.worker("small", slots=1)
    for i in range(10):
        bench.submit(f"j{i}")
    assert (bench.rings("big"), bench.rings("small")) == (3, 1)
    assert bench.claim("small", small) is not None
    bench.submit("more")
    assert bench.rings("small") == 1


def test_a_pulse_says_when_something_is_due(bench: Bench) -> None:
    """A retry must not wait for the pulse after the next."""
    inc = bench.worker()
    assert bench.store.pulse("w", inc).next_due is None
    bench.submit("a", retries=1, retry_delay=0.5)
    claim = bench.claim("w", inc)
    assert claim is not None
    assert bench.store.finish("w", inc, claim.held, FAILED).state is State.QUEUED
    assert bench.store.pulse("w", inc).next_due == pytest.approx(0.5)
    assert bench.rings("w") == 0 or bench.claim("w", inc) is None
    bench.clock.now += 0.5
    bench.store.pulse("w", inc)
    assert bench.claim("w", inc) is not None


def test_a_pulse_rings_for_what_waits(bench: Bench) -> None:
    """A ring may be lost: whoever is free looks by itself."""
    inc = bench.worker("w", slots=2)
    bench.store.leave("w", inc)
    bench.submit("a")
    assert bench.rings("w") == 0
    assert bench.store.pulse("w", inc).work_waiting
    assert bench.rings("w") == 1


def progress(bench: Bench, id: str) -> tuple[float | None, str | None]:
    [job] = bench.store.get([id])
    assert job is not None
    assert job.attempt is not None
    return job.attempt.progress, job.attempt.note


def test_progress_is_kept_with_the_attempt(bench: Bench) -> None:
    """It travels with the pulse and with output; the next attempt begins without any, and an ended one has none."""
    inc = bench.worker()
    bench.submit("a", retries=1, retry_delay=0.0)
    claim = bench.claim("w", inc)
    assert claim is not None
    assert progress(bench, "a") == (None, None)
    bench.store.pulse("w", inc, [dataclasses.replace(claim.held, progress=0.5, note="half \u00e9 '\"\n")])
    assert progress(bench, "a") == (0.5, "half \u00e9 '\"\n")
    bench.store.pulse("w", inc, [claim.held])
    assert progress(bench, "a") == (0.5, "half \u00e9 '\"\n")
    told = dataclasses.replace(claim.held, progress=0.4217)
    bench.store.append(told, [Chunk(stream=1, offset=0, data=b"x")])
    assert progress(bench, "a") == (0.4217, None)
    assert [job.attempt for job in bench.store.page()] == [bench.store.get(["a"])[0].attempt]  # type: ignore[union-attr]
    bench.store.finish("w", inc, claim.held, FAILED)
    assert progress(bench, "a") == (None, None)
    again = bench.claim("w", inc)
    assert again is not None
    assert progress(bench, "a") == (None, None)
    with pytest.raises(StaleAttempt):
        bench.store.append(told, [])
    bench.store.pulse("w", inc, [told, again.held])
    assert progress(bench, "a") == (None, None)


def test_old_jobs_go_and_their_output_first(bench: Bench) -> None:
    """Nothing grows without a bound (P13)."""
    inc = bench.worker()
    if isinstance(bench.store, MemoryStore):
        bench.store._budget = 25
    else:
        bench.store._scripts._settings = ("15.0", "604800.0", "25")  # type: ignore[attr-defined]
    for id in "abc":
        bench.submit(id)
        claim = bench.claim("w", inc)
        assert claim is not None
        bench.store.finish("w", inc, claim.held, DONE, [Chunk(stream=1, offset=0, data=b"x" * 10)])
        bench.clock.now += 1
    jobs = [job for job in bench.store.get(["a", "b", "c"]) if job]
    assert [job.output_dropped for job in jobs] == [True, False, False]
    assert bench.store.output("a").chunks == ()
    assert len(bench.store.output("b").chunks) == 1


def test_the_last_to_end_is_the_first_to_be_told(bench: Bench) -> None:
    """Whenever it was submitted."""
    inc = bench.worker()
    bench.submit("old")
    bench.submit("new")
    claims = [bench.claim("w", inc), bench.claim("w", inc)]
    for claim in reversed(claims):
        assert claim is not None
        bench.clock.now += 1
        bench.store.finish("w", inc, claim.held, DONE)
    assert [job.id for job in bench.store.lately()] == ["old", "new"]
    assert [job.id for job in bench.store.lately(1)] == ["old"]
    for n in range(150):
        bench.submit(f"j{n}")
        bench.store.cancel(f"j{n}")
    assert [job.id for job in bench.store.lately(200)] == [f"j{n}" for n in range(149, 49, -1)]


def test_events_tell_every_change(bench: Bench) -> None:
    """The server's index is fed by them."""
    inc = bench.worker()
    cursor, _ = bench.store.events("0", 0.01)
    bench.submit("a")
    claim = bench.claim("w", inc)
    assert claim is not None
    bench.store.finish("w", inc, claim.held, DONE)
    _, events = bench.store.events(cursor, 1.0)
    told = [(event.job, event.state, event.worker) for event in events]
    assert told == [("a", "queued", ""), ("a", "running", "w"), ("a", "succeeded", "w")]


def test_events_tell_of_leases_that_ran_out(bench: Bench) -> None:
    """The server counts them."""
    inc, watcher = bench.worker(), bench.worker("x", slots=1)
    bench.submit("a")
    assert bench.claim("w", inc)
    cursor = bench.store.events_kept()[1]
    for _ in range(4):
        bench.clock.now += 4
        bench.store.pulse("x", watcher)
    _, events = bench.store.events(cursor, 1.0)
    assert [(event.state, event.worker, event.lost) for event in events] == [("running", "w", True)]


def test_the_last_event_that_is_kept_is_where_following_begins(bench: Bench) -> None:
    """Between two readings nothing is missed."""
    bench.submit("a")
    oldest, newest = bench.store.events_kept()
    assert [event.job for event in bench.store.events(oldest, 0.01)[1]] == ["a"]
    bench.submit("b")
    assert [event.job for event in bench.store.events(newest, 0.01)[1]] == ["b"]


def test_heartbeats_say_which_quarter_hours_a_worker_was_there(bench: Bench) -> None:
    """A day of it, and no more is kept."""
    bench.clock.now = 1_800_000_000.0  # a quarter hour begins
    inc = bench.worker()
    for _ in range(225):
        bench.clock.now += 4
        bench.store.pulse("w", inc)
    bench.clock.now += 1800
    bench.store.pulse("w", inc)
    bench.clock.now += 4
    bench.store.pulse("w", inc)
    day = bench.store.heartbeats()["w"]
    assert (len(day), day[:92]) == (96, (None,) * 92)
    assert day[92] == pytest.approx(1.0, abs=0.01)
    assert day[93:95] == (pytest.approx(0.0, abs=0.01), 0.0)
    assert day[95] == 1.0
    bench.clock.now += 3 * 86400
    assert bench.store.heartbeats()["w"] == (0.0,) * 96


def test_readings_stay_until_there_are_others(bench: Bench) -> None:
    """They come with every fourth pulse."""
    inc = bench.worker()
    read = Readings(cpu=0.25, memory=0.5, disk=0.125, temperature=51.5, throttled="under-voltage")
    bench.store.pulse("w", inc, readings=read)
    bench.store.pulse("w", inc)
    assert bench.store.workers()[1][0].readings == read


def test_what_waits_is_told_by_lane(bench: Bench) -> None:
    """With the age of the first in line."""
    bench.submit("a")
    bench.clock.now += 5
    bench.submit("b")
    bench.submit("c", on="mac")
    queues = {queue.lane: queue for queue in bench.store.queues()}
    assert (queues["any"].waiting, queues["on:mac"].waiting) == (2, 1)
    oldest = queues["any"].oldest_at
    assert oldest is not None
    assert bench.clock.now - oldest == pytest.approx(5, abs=0.1)


def test_a_stranger_cannot_finish_an_attempt(bench: Bench) -> None:
    """Number and nonce are the fencing token, both."""
    inc = bench.worker()
    bench.submit("a")
    claim = bench.claim("w", inc)
    assert claim is not None
    for held in (Held(job="a", number=1, nonce="other"), Held(job="a", number=2, nonce=claim.held.nonce)):
        assert not bench.store.finish("w", inc, held, DONE).heard
    assert bench.store.get(["a"])[0].state is State.RUNNING  # type: ignore[union-attr]


def test_replies_are_due_until_confirmed(bench: Bench) -> None:
    """A 1.x client's answer is not lost with the worker that was to write it."""
    inc = bench.worker()
    spec = JobSpec(command="true")
    bench.store.submit([NewJob(id="a", spec=spec, lane="any", celery_id="task-1")])
    claim = bench.claim("w", inc)
    assert claim is not None
    bench.store.finish("w", inc, claim.held, DONE)
    assert bench.store.replies_due(5) == []
    bench.clock.now += 6
    assert [job.celery_id for job in bench.store.replies_due(5)] == ["task-1"]
    bench.store.replied("a")
    assert bench.store.replies_due(5) == []


def pass_time(bench: Bench, seconds: float, **pulsing: str) -> None:
    """Time goes by, and these workers pulse as they do."""
    for _ in range(int(seconds / 4)):
        bench.clock.now += 4
        for name, incarnation in pulsing.items():
            bench.store.pulse(name, incarnation)


NOT_STARTED = Outcome(reason=Reason.NOT_STARTED, message="no space left on w")


def test_a_worker_that_could_not_start_a_job_is_left_out_for_ten_minutes(bench: Bench) -> None:
    """Its disk may be full: the job goes elsewhere, and does not circle at full speed (P11)."""
    bad = bench.worker("bad")
    bench.submit("a")
    claim = bench.claim("bad", bad)
    assert claim is not None
    answer = bench.store.give_back("bad", bad, claim.held, NOT_STARTED, lost=False)
    assert answer.state is State.QUEUED
    assert bench.claim("bad", bad) is None
    assert not bench.store.pulse("bad", bad).work_waiting
    bench.submit("b")
    other = bench.claim("bad", bad)
    assert other is not None
    assert other.job.id == "b"
    bench.store.finish("bad", bad, other.held, DONE)
    pass_time(bench, 604, bad=bad)
    again = bench.claim("bad", bad)
    assert again is not None
    assert (again.job.id, again.job.losses, again.job.failures) == ("a", 0, 0)


def test_a_job_that_one_worker_could_not_start_goes_to_another(bench: Bench) -> None:
    """At once."""
    bad, good = bench.worker("bad"), bench.worker("good")
    bench.submit("a")
    claim = bench.claim("bad", bad)
    assert claim is not None
    bench.store.give_back("bad", bad, claim.held, NOT_STARTED, lost=False)
    assert bench.claim("bad", bad) is None
    second = bench.claim("good", good)
    assert second is not None
    assert second.job.id == "a"


def test_a_worker_that_cannot_start_several_jobs_in_a_row_is_quarantined(bench: Bench) -> None:
    """It would eat the whole queue; until it has tested itself it gets nothing."""
    bad = bench.worker("bad", slots=9)
    for n in range(4):
        bench.submit(f"j{n}")
    for n in range(3):
        assert bench.store.workers()[1][0].quarantined is None
        claim = bench.claim("bad", bad)
        assert claim is not None, n
        bench.store.give_back("bad", bad, claim.held, NOT_STARTED, lost=False)
    [state] = bench.store.workers()[1]
    assert state.quarantined is not None
    assert state.quarantined.why == "no space left on w"
    assert bench.claim("bad", bad) is None
    assert bench.store.pulse("bad", bad).quarantined == "no space left on w"
    bench.store.release("bad")
    assert bench.store.workers()[1][0].quarantined is None
    assert bench.claim("bad", bad) is not None


def test_a_start_that_works_ends_the_row(bench: Bench) -> None:
    """Three odd jobs in a week are not the machine's doing."""
    bad = bench.worker("bad", slots=9)
    for n in range(5):
        bench.submit(f"j{n}")
    for n in range(5):
        claim = bench.claim("bad", bad)
        assert claim is not None
        if n == 2:
            bench.store.finish("bad", bad, claim.held, FAILED)
        else:
            bench.store.give_back("bad", bad, claim.held, NOT_STARTED, lost=False)
    assert bench.store.workers()[1][0].quarantined is None


def test_a_paused_worker_takes_nothing_and_is_not_rung(bench: Bench) -> None:
    """What runs there goes on."""
    inc = bench.worker()
    bench.submit("runs")
    claim = bench.claim("w", inc)
    assert claim is not None
    bench.store.pause("w", by="ann", note="backup")
    rings = bench.rings("w")
    bench.submit("waits")
    assert bench.rings("w") == rings
    assert bench.claim("w", inc) is None
    pulse = bench.store.pulse("w", inc, [claim.held])
    assert (tuple(pulse.term), pulse.work_waiting) == (("runs",), False)
    assert bench.store.finish("w", inc, claim.held, DONE, next_nonce="x").next is None
    pause = bench.store.workers()[1][0].paused
    assert pause is not None
    assert (pause.by, pause.note, pause.until, pause.draining) == ("ann", "backup", None, False)
    bench.store.resume("w")
    assert bench.rings("w") == 1
    assert bench.claim("w", inc) is not None


def test_a_pause_for_a_time_ends_by_itself(bench: Bench) -> None:
    """Nobody has to remember."""
    inc = bench.worker()
    bench.store.pause("w", seconds=60.0, draining=True)
    bench.submit("a")
    pass_time(bench, 56, w=inc)
    assert bench.claim("w", inc) is None
    pass_time(bench, 8, w=inc)
    assert bench.store.workers()[1][0].paused is None
    assert bench.rings("w") == 1
    assert bench.claim("w", inc) is not None


def test_a_pause_outlives_a_restart_of_the_worker(bench: Bench) -> None:
    """It is said of the machine, not of the process."""
    bench.worker()
    bench.store.pause("w")
    inc = bench.worker()
    bench.submit("a")
    assert bench.claim("w", inc) is None


def test_pausing_an_unknown_worker_is_an_error(bench: Bench) -> None:
    """A typing error must not look like a success."""
    for call in (bench.store.pause, bench.store.resume, bench.store.release):
        with pytest.raises(NoSuchWorker):
            call("nope")


def test_a_worker_may_hold_itself_back(bench: Bench) -> None:
    """Its owner uses the machine."""
    inc = bench.worker()
    bench.submit("a")
    assert not bench.store.pulse("w", inc, held_back="others use 97 % of the CPU").work_waiting
    assert bench.store.workers()[1][0].held_back == "others use 97 % of the CPU"
    assert bench.claim("w", inc) is None
    assert bench.store.pulse("w", inc).work_waiting
    assert bench.claim("w", inc) is not None


def test_a_preferred_worker_is_rung_first(bench: Bench) -> None:
    """`prefer` is a wish: names, labels and capabilities."""
    bench.worker("big", slots=4)
    bench.worker("small", slots=1, labels=("fast",))
    bench.submit("a", prefer=("fast",))
    assert (bench.rings("big"), bench.rings("small")) == (0, 1)
    bench.submit("b", prefer=("fast",))
    assert (bench.rings("big"), bench.rings("small")) == (1, 1)
    bench.submit("c", prefer=("big",))
    assert (bench.rings("big"), bench.rings("small")) == (2, 1)


def test_a_worker_that_starts_to_serve_a_lane_is_rung_for_what_waits_there(bench: Bench) -> None:
    """Without waiting for another pulse."""
    bench.worker()
    bench.submit("a", needs=("heavy",))
    assert bench.rings("w") == 0
    bench.store.serve("w", ["any", "needs:heavy"], all=True)
    assert bench.rings("w") == 1


@pytest.mark.parametrize("on_lost", list(OnLost))
def test_cancelling_a_pinned_job_whose_machine_is_lost_ends_it(bench: Bench, on_lost: OnLost) -> None:
    """Whether it was cancelled before or after the loss: nobody else could take it and say so."""
    bench.submit("before", on="lost", on_lost=on_lost)
    bench.submit("after", on="lost", on_lost=OnLost.WAIT)
    lost, other = bench.worker("lost"), bench.worker("other")
    first, second = bench.claim("lost", lost), bench.claim("lost", lost)
    assert first is not None
    assert second is not None
    assert bench.store.cancel("before").state is State.RUNNING
    pass_time(bench, 40, other=other)
    assert bench.store.cancel("after").state is State.CANCELLED
    [before] = bench.store.get(["before"])
    assert before is not None
    assert (before.state, before.reason) == (State.CANCELLED, Reason.CANCELLED)
    assert set(bench.store.pulse("lost", lost, [first.held, second.held]).superseded) == {"before", "after"}


def test_a_pinned_job_that_shall_fail_when_lost_fails(bench: Bench) -> None:
    """Any worker in good contact may say so, though it could not have taken it."""
    bench.submit("a", on="lost", on_lost=OnLost.FAIL)
    lost, other = bench.worker("lost"), bench.worker("other")
    assert bench.claim("lost", lost) is not None
    pass_time(bench, 40, other=other)
    [job] = bench.store.get(["a"])
    assert job is not None
    assert (job.state, job.reason) == (State.FAILED, Reason.WORKER_LOST)


def restart_broker(bench: Bench) -> None:
    """Redis is another process than before; whoever asks first finds out."""
    if isinstance(bench.store, MemoryStore):
        bench.store.restarted()
    else:
        bench.store._redis.hset("relayq:epoch", "run_id", "another process")  # type: ignore[attr-defined]
        assert bench.admin is not None
        bench.admin.script_flush()
        bench.store.counts()


def test_after_a_restart_of_the_broker_nothing_is_claimed_before_the_workers_have_spoken(bench: Bench) -> None:
    """The store may have forgotten its last second, and with it who runs what (P7)."""
    one, two = bench.worker("one"), bench.worker("two")
    bench.store.pulse("one", one)
    bench.store.pulse("two", two)
    bench.submit("a")
    restart_broker(bench)
    assert bench.claim("one", one) is None
    assert bench.store.pulse("one", one).announce
    bench.store.announce("one", one, [])
    assert not bench.store.pulse("one", one).announce
    assert bench.claim("one", one) is None
    bench.store.announce("two", two, [])
    assert bench.claim("one", one) is not None


def test_claims_wait_three_seconds_for_the_silent_at_most(bench: Bench) -> None:
    """A machine that died with the broker must not keep the others from work."""
    one, two = bench.worker("one"), bench.worker("two")
    bench.store.pulse("one", one)
    bench.store.pulse("two", two)
    bench.submit("a")
    restart_broker(bench)
    bench.store.announce("one", one, [])
    bench.clock.now += 2.9
    assert bench.claim("one", one) is None
    bench.clock.now += 0.2
    assert bench.claim("one", one) is not None


def test_an_end_the_store_has_forgotten_is_not_given_back_before_its_worker_has_spoken(bench: Bench) -> None:
    """The first pulse of the epoch does not list it: it has ended, and will be said again."""
    inc = bench.worker()
    bench.submit("a")
    claim = bench.claim("w", inc)
    assert claim is not None
    for _ in range(4):
        bench.clock.now += 4
        bench.store.pulse("w", inc, [claim.held])
    restart_broker(bench)
    assert bench.store.pulse("w", inc).announce
    bench.store.announce("w", inc, [claim.held])
    answer = bench.store.finish("w", inc, claim.held, DONE)
    assert (answer.heard, answer.state) == (True, State.SUCCEEDED)


def test_a_claim_the_store_has_forgotten_is_remembered(bench: Bench) -> None:
    """Else the job would run twice: its attempt goes on as it was."""
    one, two = bench.worker("one"), bench.worker("two")
    bench.submit("a")
    held = Held(job="a", number=1, nonce="lost", age=3.0)
    restart_broker(bench)
    assert bench.store.announce("one", one, [held]).stored == {"a": (0, 0)}
    bench.store.announce("two", two, [])
    assert bench.claim("two", two) is None
    [job] = bench.store.get(["a"])
    assert job is not None
    assert (job.state, job.worker, job.attempts[0].claimed_at) == (State.RUNNING, "one", bench.clock.now - 3)
    assert bench.store.finish("one", one, held, DONE).state is State.SUCCEEDED


def test_a_forgotten_attempt_supersedes_the_one_before_it(bench: Bench) -> None:
    """The store had forgotten that the first one's machine was lost."""
    one, two = bench.worker("one"), bench.worker("two")
    bench.submit("a")
    first = bench.claim("one", one)
    assert first is not None
    restart_broker(bench)
    second = Held(job="a", number=2, nonce="second")
    assert bench.store.announce("two", two, [second]).stored == {"a": (0, 0)}
    assert bench.store.announce("one", one, [first.held]).stored == {}
    assert bench.store.pulse("one", one, [first.held]).superseded == ("a",)
    [job] = bench.store.get(["a"])
    assert job is not None
    assert [(a.number, a.worker) for a in job.attempts] == [(1, "one"), (2, "two")]


def test_what_the_store_does_not_know_at_all_is_asked_back(bench: Bench) -> None:
    """The submission was forgotten: the worker, who knows the job, submits it again and announces again."""
    one = bench.worker("one")
    held = Held(job="ghost", number=1, nonce="n")
    restart_broker(bench)
    answer = bench.store.announce("one", one, [held])
    assert (answer.unknown, answer.stored) == (("ghost",), {})
    assert bench.store.pulse("one", one).announce
    bench.submit("ghost")
    assert bench.store.announce("one", one, [held]).stored == {"ghost": (0, 0)}
    assert not bench.store.pulse("one", one, [held]).announce


def test_the_announced_hear_how_much_of_their_output_is_stored(bench: Bench) -> None:
    """What came in the forgotten second is sent again from there."""
    one = bench.worker("one")
    bench.submit("a")
    claim = bench.claim("one", one)
    assert claim is not None
    bench.store.append(claim.held, [Chunk(stream=1, offset=0, data=b"12345"), Chunk(stream=2, offset=0, data=b"1")])
    restart_broker(bench)
    assert bench.store.announce("one", one, [claim.held]).stored == {"a": (5, 1)}


def test_a_new_epoch_gives_every_owner_a_new_lease_three_times_at_most(bench: Bench) -> None:
    """An outage must not look like a lost machine, nor a broker that restarts all day keep a dead one alive."""
    lost, other = bench.worker("lost"), bench.worker("other")
    bench.submit("a")
    assert bench.claim("lost", lost) is not None
    for _ in range(4):
        bench.clock.now += 14
        restart_broker(bench)
        bench.store.pulse("other", other)
        bench.store.announce("other", other, [])
        assert bench.claim("other", other) is None
    pass_time(bench, 8, other=other)
    assert bench.claim("other", other) is None
    pass_time(bench, 8, other=other)
    assert bench.claim("other", other) is not None


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_jump_of_the_clock_takes_no_job_away(bench: Bench, jump: float) -> None:
    """The broker's machine sets its clock: leases start anew, nobody is taken for lost or for alive."""
    owner, other = bench.worker("owner"), bench.worker("other")
    bench.submit("a")
    claim = bench.claim("owner", owner)
    assert claim is not None
    pass_time(bench, 8, other=other)
    bench.store.pulse("owner", owner, [claim.held])
    bench.clock.now += jump
    bench.store.pulse("other", other)
    bench.store.announce("other", other, [])
    bench.clock.now += 3.1
    assert bench.claim("other", other) is None
    bench.store.announce("owner", owner, [dataclasses.replace(claim.held, age=11.1)])
    assert bench.store.pulse("owner", owner, [claim.held]).term == {"a": 15.0}
    pass_time(bench, 12, other=other)
    assert bench.claim("other", other) is None
    pass_time(bench, 12, other=other)
    second = bench.claim("other", other)
    assert second is not None, "the job is no hour older, and the machine was lost a while ago"


def test_a_retry_is_not_put_off_by_a_clock_that_goes_back(bench: Bench) -> None:
    """It was to come in five seconds, not in an hour and five seconds."""
    inc = bench.worker()
    bench.submit("a", retries=1, retry_delay=5.0)
    bench.submit("b", on="away", queue_timeout=20.0)
    claim = bench.claim("w", inc)
    assert claim is not None
    bench.store.pulse("w", inc, [claim.held])
    bench.store.finish("w", inc, claim.held, FAILED)
    bench.clock.now -= 3600
    bench.store.pulse("w", inc)
    bench.store.announce("w", inc, [])
    assert bench.claim("w", inc) is None
    pass_time(bench, 8, w=inc)
    assert bench.claim("w", inc) is not None
    pass_time(bench, 16, w=inc)
    [late] = bench.store.get(["b"])
    assert late is not None
    assert late.reason is Reason.QUEUE_TIMED_OUT


def test_a_worker_may_say_something_else_of_itself(bench: Bench) -> None:
    """What it found travels whole; nothing else of it changes."""
    inc = bench.worker("w", labels=("heavy",))
    bench.store.pause("w", note="guests")
    before = bench.store.workers()[1][0]
    found = (Capability(name="ffmpeg", version="7.1"), Capability(name="encoder:x", works=False, why_not='no "x"'))
    info = dataclasses.replace(
        before.info, capabilities=("ffmpeg",), found=found, facts={"arch": "arm64", "memory": 24 << 30}
    )
    bench.store.describe(info)
    assert bench.store.workers()[1] == [dataclasses.replace(before, info=info)]
    with pytest.raises(Replaced):
        bench.store.describe(dataclasses.replace(info, incarnation="older"))
    bench.submit("wish", prefer=("ffmpeg",))
    bench.store.resume("w")
    assert bench.claim("w", inc) is not None


def test_a_worker_is_asked_to_look_until_it_has_told(bench: Bench) -> None:
    """An answer lost on the way must not lose the request; a restart does not either."""
    inc = bench.worker("w")
    with pytest.raises(NoSuchWorker):
        bench.store.reprobe("nobody")
    assert bench.store.pulse("w", inc).reprobe is None
    bench.store.reprobe("w", ["blender", "sox"])
    asked = Reprobe(since=bench.clock.now, programs=("blender", "sox"))
    assert bench.store.pulse("w", inc).reprobe == bench.store.pulse("w", inc).reprobe == asked
    inc = bench.worker("w")
    [state] = bench.store.workers()[1]
    assert state.reprobe == bench.store.pulse("w", inc).reprobe == asked
    bench.store.describe(state.info)
    assert bench.store.workers()[1][0].reprobe is None
    assert bench.store.pulse("w", inc).reprobe is None
