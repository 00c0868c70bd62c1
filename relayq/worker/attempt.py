"""One attempt from claim to finish, top to bottom."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from relayq import kinds
from relayq.errors import StaleAttempt
from relayq.model import Held, JobSpec, Outcome, Reason
from relayq.store import Claim
from relayq.supervisor.client import Session
from relayq.supervisor.clock import elapsed
from relayq.supervisor.messages import Exit, Order, SessionClosed, SupervisorError, SupervisorGone
from relayq.worker.holding import Holding, key_of, may_freeze
from relayq.worker.listening import Listening
from relayq.worker.output import Unsent
from relayq.worker.reporting import Reporter
from relayq.worker.sessions import Sessions
from relayq.worker.workspace import Unprepared, Workspace

log = logging.getLogger("relayq.worker")

SUPERSEDED = "superseded"  #: ended because a newer attempt has the job: nobody wants to hear of it
WORKER_STOPPED = Reason.WORKER_STOPPED.value
LOST = frozenset({"supervisor_lost", "unknown"})  #: the process went with its supervisor


class JobFault(Exception):
    """The job asks for what no machine could do."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What an attempt works with."""

    home: Path
    holding: Holding
    reporter: Reporter
    sessions: Sessions
    pulse_now: Callable[[], None]
    machine: Callable[[], kinds.Machine]  #: as it is known now
    margin: float  #: seconds before the end of its lease at which a cut-off attempt is frozen (P5)


def run(claim: Claim, tools: Tools) -> Claim | None:
    """Run one attempt to its end, say how it ended, and answer with the next job for this slot."""
    held, spec = claim.held, claim.job.spec
    claimed_at = elapsed()
    freeze_at = claimed_at + claim.term - tools.margin
    with tools.holding.of(held, claim.job, since=claimed_at):
        if tools.reporter.stopping or freeze_at <= elapsed():  # the answer came too late to begin anything
            return tools.reporter.give_back(held, Outcome(reason=Reason.WORKER_STOPPED), lost=False)
        try:
            plan = plan_of(spec, tools.machine())
            with Workspace(tools.home, held, plan) as workspace:
                start(order(held, spec, workspace.argv, plan.stdin), freeze_at, tools)
                return attend(held, spec, tools)
        except JobFault as fault:
            return tools.reporter.finish(held, not_started(str(fault)), ())
        except Unprepared as trouble:
            log.warning("attempt could not start", extra={"job": held.job, "error": str(trouble)})
            message = f"{tools.reporter.worker} cannot prepare it: {trouble}"
            return tools.reporter.give_back(held, not_started(message), lost=False)


def plan_of(spec: JobSpec, machine: kinds.Machine) -> kinds.Plan:
    """What to start. Raises JobFault for what no machine could do, Unprepared for what only this one cannot."""
    try:
        kind = kinds.get_kind(spec.kind)
    except KeyError:
        raise Unprepared(f"its relayq does not know jobs of the kind {spec.kind}; update it") from None
    try:
        return kind.plan(spec, machine)
    except ValueError as error:
        raise JobFault(str(error)) from error


def start(what: Order, freeze_at: float, tools: Tools) -> None:
    """Have the supervisor start it. One that died while nothing ran here is replaced by the next."""
    for trouble in (None, "again"):
        try:
            session = tools.sessions.mine()  # which may have to be made
            timely = replace(what, deadline=freeze_at - elapsed()) if what.freeze else what
            return session.start(timely, forget=tools.sessions.take_done())
        except SessionClosed:
            raise
        except SupervisorError as error:
            tools.sessions.drop()
            if trouble:
                raise Unprepared(f"it has no supervisor: {error}") from error
    return None


def attend(held: Held, spec: JobSpec, tools: Tools) -> Claim | None:
    """Stay with a started attempt to its end; also with one that an earlier worker started (adopt)."""
    unsent, listening = Unsent(spec.max_output_bytes), Listening()
    try:
        exit = follow(held, unsent, listening, tools)
    except SupervisorGone:
        tools.sessions.drop()
        end_leftovers(tools)
        return tools.reporter.give_back(held, Outcome(reason=Reason.KILLED), lost=True)
    outcome = outcome_of(exit, spec, listening.last_words)
    following = report(held, exit, outcome, unsent, tools)
    try:
        tools.sessions.done(key_of(held))
    except SupervisorError:  # its supervisor offers that end again; the slot has its next job already
        tools.sessions.drop()
    return following


def end_leftovers(tools: Tools) -> None:
    """Its processes may have outlived a dead supervisor (and its keeper): the next one ends them, then it is lost."""
    try:
        tools.sessions.mine()
    except SessionClosed:
        raise
    except SupervisorError as error:
        log.error("no supervisor to end what the last one left: %s", error)
        tools.sessions.drop()


def follow(held: Held, unsent: Unsent, listening: Listening, tools: Tools) -> Exit:
    """Pass output on while the process runs. What is left in `unsent` goes with the end."""
    session = tools.sessions.of(key_of(held))
    while True:
        frame = session.next(timeout=unsent.due_in())
        if (stored := tools.holding.take_stored(held)) is not None and stored != unsent.sent:
            # The broker has lost output it had: the supervisor still has it, on a connection without older frames.
            unsent.restart(stored)
            session = attach_anew(held, stored, tools)
            continue
        if isinstance(frame, Exit):
            unsent.add(frame.rest)
            listening.hear(frame.rest)
            return frame
        if frame is not None:
            unsent.add([frame])
            if (said := listening.hear([frame])) is not None:
                tools.holding.says(held, said)
        try:
            unsent.send_if_due(lambda chunks: tools.reporter.append(held, chunks))
        except StaleAttempt:
            # Superseded, or forgotten by a broker that restarted: the pulse finds out which, and ends it if need be.
            tools.pulse_now()


def attach_anew(held: Held, sent: tuple[int, int], tools: Tools) -> Session:
    """Its output from there on, over a new connection. The attempt runs, whether we hear of it or not."""
    while True:
        tools.sessions.drop()
        try:
            session = tools.sessions.of(key_of(held))
            session.attach(key_of(held), {1: sent[0], 2: sent[1]})
            return session
        except (SessionClosed, SupervisorGone):
            raise
        except SupervisorError as error:
            log.error("no supervisor: %s", error)
            tools.reporter.wait(1.0)


def report(held: Held, exit: Exit, outcome: Outcome, unsent: Unsent, tools: Tools) -> Claim | None:
    """Tell the store how the attempt ended; answers with the next job for this slot."""
    if exit.reason == SUPERSEDED:
        return tools.reporter.claim()
    if exit.reason in LOST or exit.reason == WORKER_STOPPED or exit.fault == "machine":
        return tools.reporter.give_back(held, outcome, lost=exit.reason in LOST)
    return tools.reporter.finish(held, outcome, unsent.take())


def order(held: Held, spec: JobSpec, argv: list[str], stdin: bytes | None) -> Order:
    """What the supervisor is to start."""
    return Order(
        key=key_of(held),
        argv=argv,
        cwd=folder(spec.cwd),
        env=dict(spec.env),
        stdin=stdin,
        timeout=spec.timeout,
        kill_grace=spec.kill_grace,
        max_output_bytes=spec.max_output_bytes,
        freeze=may_freeze(spec),
    )


def folder(cwd: str | None) -> str | None:
    """A folder on this machine: `~` is the home of the worker's user, whatever HOME the job is given."""
    if cwd == "~" or (cwd or "").startswith("~/"):
        return os.path.expanduser(cwd or "")  # noqa: PTH111  (Path's raises where there is no home)
    return cwd


def not_started(message: str) -> Outcome:
    """It never ran."""
    return Outcome(reason=Reason.NOT_STARTED, message=message)


def outcome_of(exit: Exit, spec: JobSpec, last_words: str) -> Outcome:
    """The supervisor's words as the store's; the value is the kind's reading of its last words on stdout."""
    # What was superseded has no outcome that anybody hears.
    reason = Reason.KILLED if exit.reason in {*LOST, SUPERSEDED} else Reason(exit.reason)
    success = reason is Reason.EXITED and exit.exit_code == 0
    return Outcome(
        reason=reason,
        exit_code=exit.exit_code,
        signal=exit.signal,
        message=exit.error,
        stdout_bytes=exit.stdout_bytes,
        stderr_bytes=exit.stderr_bytes,
        duration=exit.duration,
        value=kinds.get_kind(spec.kind).value(spec, last_words) if success else None,
    )
