"""The demo's last step: a machine loses power, and what it was doing is done elsewhere."""

from __future__ import annotations

import time

from relayq.demo.nodes import MAC, PI, WORKERS
from relayq.demo.stage import Facts, Stage, follow, status_lines, until
from relayq.errors import ResultTimeout
from relayq.handle import JobHandle
from relayq.model import Attempt, Reason

#: What the power cut interrupts.
WORK = 'for second in 1 2 3 4; do echo "second $second"; sleep 1; done; echo "finished by attempt $RELAYQ_ATTEMPT"'


def lose_power(stage: Stage) -> Facts:
    """The machine that runs a job dies, and another one runs it again."""
    handle = _running_on(stage, MAC.name)
    killed = stage.nodes.cut_power(MAC)
    cut_at = time.time()  # all on one machine: the store's clock is this one
    stage.screen.line(f"job {handle.id} runs on {MAC.name}: kill -9 of the node's {killed} processes")
    follow(stage, handle, 30, lambda: handle.explain().sentence)
    result = handle.result(5)
    ends = [(a.worker, a.outcome.reason if a.outcome else None) for a in result.attempts]
    ok = ends == [(MAC.name, Reason.WORKER_LOST), (PI.name, Reason.EXITED)]
    ok = ok and result.stdout.endswith(b"second 4\nfinished by attempt 2\n")
    again = result.attempts[-1].claimed_at - cut_at
    return Facts(
        ok=ok,
        figures=f"{PI.name} took the job {again:.1f} s after the cut, and finished it"
        if ok
        else f"this is not how it should end: {result.state} {result.stdout.decode(errors='replace')}",
        details=(*(_told(attempt, cut_at) for attempt in result.attempts), *status_lines(stage.client.worker_status())),
    )


def _running_on(stage: Stage, worker: str) -> JobHandle:
    """A job that any worker might have taken and this one did."""
    others: list[JobHandle] = []
    for _ in range(sum(worker.slots for worker in WORKERS)):
        handle = stage.client.run(WORK, name="four seconds of work", prefer=["heavy"])
        if not until(lambda h=handle: "second 2\n" in h.logs(), stage.left(10)):  # type: ignore[misc]
            raise ResultTimeout(f"job {handle.id} does not start: {handle.explain()}")
        if handle.job().worker == worker:
            for other in others:
                other.cancel()
            return handle
        others.append(handle)
    raise ResultTimeout(f"{worker} took none of {len(others)} jobs")


def _told(attempt: Attempt, cut_at: float) -> str:
    outcome = attempt.outcome
    end = f"{outcome.reason}" + (f" {outcome.exit_code}" if outcome.exit_code is not None else "") if outcome else ""
    ended = f"{attempt.ended_at - cut_at:+.1f} s" if attempt.ended_at else "?"
    began = f"{attempt.claimed_at - cut_at:+.1f} s"
    return f"attempt {attempt.number} on {attempt.worker:12} began {began:>7}, ended {ended:>7}: {end}"
