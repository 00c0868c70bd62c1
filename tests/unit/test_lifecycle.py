"""The rules of a job's life that are easiest to read without a store."""

from __future__ import annotations

import pytest

from relayq import lifecycle
from relayq.errors import InvalidTransition, StaleAttempt
from relayq.lifecycle import CancelRequested, Claimed, Finished, GivenBack, LeaseExpired, Renewed
from relayq.model import Job, JobSpec, OnLost, Outcome, Reason, State

NOW = 1000.0


def job(**options: object) -> Job:
    spec = JobSpec(command="true", **options)  # type: ignore[arg-type]
    return lifecycle.submitted("j", spec, "any", now=NOW, place=NOW)


def running(**options: object) -> Job:
    return lifecycle.apply(Claimed("w", "n"), job(**options), NOW)


def test_patience_grows_from_the_floor_to_ten_minutes() -> None:
    """Invariant 8: clamp(15 s, a tenth of the elapsed time, 10 min)."""
    assert [lifecycle.lease_term(t) for t in (0, 150, 600, 6000, 1e6)] == [15, 15, 60, 600, 600]


def test_every_other_term_derives_from_the_floor() -> None:
    """Tests lower one number, not four."""
    assert (lifecycle.pulse_interval(), lifecycle.contact_patience(), lifecycle.reconcile_after()) == (4, 12, 10)
    assert lifecycle.pulse_interval(1.5) == pytest.approx(0.4)


def test_retry_delays_double_up_to_five_minutes() -> None:
    """Exponential backoff with an end."""
    spec = JobSpec(command="true", retry_delay=1.0)
    assert [lifecycle.retry_delay(spec, n) for n in (1, 2, 3, 9, 99)] == [1, 2, 4, 256, 300]


def test_a_job_is_claimed_once() -> None:
    """Two copies are what must never be."""
    with pytest.raises(InvalidTransition):
        lifecycle.apply(Claimed("other", "m"), running(), NOW)


@pytest.mark.parametrize("event", [Renewed(1, "x"), Renewed(2, "n"), Finished(2, "n", Outcome(reason=Reason.EXITED))])
def test_only_the_current_attempt_is_heard(event: lifecycle.Event) -> None:
    """Number and nonce, both."""
    with pytest.raises(StaleAttempt):
        lifecycle.apply(event, running(), NOW)


def test_an_offer_leaves_the_attempt_current() -> None:
    """Whoever comes first, its owner or a taker."""
    offered = lifecycle.apply(LeaseExpired(), running(), NOW + 20)
    assert offered.attempts[0].offered_at == NOW + 20
    assert lifecycle.apply(Renewed(1, "n"), offered, NOW + 21).attempts[0].offered_at is None
    taken = lifecycle.apply(Claimed("other", "m"), offered, NOW + 21)
    assert [a.worker for a in taken.attempts] == ["w", "other"]
    with pytest.raises(StaleAttempt):
        lifecycle.apply(Finished(1, "n", Outcome(reason=Reason.EXITED, exit_code=0)), taken, NOW + 22)


def test_on_lost_wait_is_not_offered() -> None:
    """Its owner may come back."""
    waiting = running(on_lost=OnLost.WAIT)
    assert lifecycle.apply(LeaseExpired(), waiting, NOW + 1e6) == waiting


def test_losses_do_not_use_up_retries() -> None:
    """A machine's death is not the job's failure."""
    back = lifecycle.apply(GivenBack(1, "n", Outcome(reason=Reason.KILLED), True), running(retries=1), NOW)
    assert (back.state, back.losses, back.failures) == (State.QUEUED, 1, 0)


def test_a_job_that_could_not_start_through_its_own_fault_fails() -> None:
    """Retrying a missing folder is no use."""
    outcome = Outcome(reason=Reason.NOT_STARTED, message="no such folder on w: /x")
    failed = lifecycle.apply(Finished(1, "n", outcome), running(retries=3), NOW)
    assert (failed.state, failed.reason, failed.message) == (State.FAILED, Reason.NOT_STARTED, outcome.message)


def test_a_cancelled_job_is_not_tried_again_after_a_loss() -> None:
    """Cancelling forbids further attempts (P11)."""
    asked = lifecycle.apply(CancelRequested(), running(), NOW)
    lost = lifecycle.apply(GivenBack(1, "n", Outcome(reason=Reason.KILLED), True), asked, NOW)
    assert lost.state is State.CANCELLED


def test_a_repeated_end_changes_nothing() -> None:
    """A worker that was not sure says it again."""
    end = Finished(1, "n", Outcome(reason=Reason.EXITED, exit_code=3))
    once = lifecycle.apply(end, running(), NOW)
    assert lifecycle.apply(end, once, NOW + 5) == once
