"""Checks of this machine's worker: that it is there, hears its rings, has its supervisor and speaks like the others."""

from __future__ import annotations

from collections.abc import Iterator

import relayq
from relayq.doctor.context import Context
from relayq.doctor.findings import Finding, check, ok, problem, warning
from relayq.doctor.service import restart_command
from relayq.errors import RelayqError, SetupError
from relayq.model import WorkerState
from relayq.monitoring import clock_time, state_word
from relayq.supervisor.client import Session
from relayq.supervisor.launch import living
from relayq.supervisor.messages import SupervisorError


@check("worker")
def worker(context: Context) -> Iterator[Finding]:
    """It is online and takes jobs."""
    if context.workers is None:
        return
    state = context.worker
    if state is None:
        if context.is_worker:
            yield warning("a worker has run here before; the broker knows none of this machine", "relayq worker")
        else:
            yield ok("none runs here")
        return
    name, now = state.info.name, context.ask_workers()[0]
    if not state.online:
        since = f"is offline since {clock_time(state.seen_at, now)}" if state.seen_at else "has never been online"
        yield problem(f"{name} {since}", restart_command(context, "worker") or "relayq worker")
    elif state.quarantined:
        yield problem(f"{name} cannot start jobs, and tests itself until it can: {state.quarantined.why}")
    elif state.paused:
        yield warning(f"{name} is {state_word(state, now)} and takes nothing new", f"relayq resume {name}")
    elif state.held_back:
        yield ok(f"{name} takes nothing new: {state.held_back}")
    else:
        yield ok(f"{name} is {state_word(state, now)}, {state.running} of {state.info.slots} slots in use")


@check("ring")
def ring(context: Context) -> Iterator[Finding]:
    """Celery hears: a ring sent now arrives."""
    state = context.worker
    if state is None or not state.online:
        return
    name = state.info.name
    if state.running >= state.info.slots:
        yield ok("not asked: all slots are busy")
        return
    ears = context.sources.ears(context.url, name)
    if ears is None:
        return
    if ears.heard_after is not None:
        yield ok(f"{name} heard one within {max(1, round(ears.heard_after * 1000))} ms")
    elif _busy_now(context, name):
        yield ok("not heard: all slots have become busy")
    else:
        yield problem(
            f"{name} does not hear that there is work, so that jobs start late ({ears.waiting} more rings wait)",
            restart_command(context, "worker"),
        )


@check("supervisor")
def supervisor(context: Context) -> Iterator[Finding]:
    """The process that parents the jobs is alive."""
    state = context.worker
    try:
        sockets = living(context.settings.home)
        for path in sockets:
            with Session(path, {}) as session:
                running = [job for job in session.list() if job.state == "running"]
                jobs = "1 job" if len(running) == 1 else f"{len(running)} jobs"
                yield ok(f"process {session.supervisor_pid} keeps {jobs}")
    except SupervisorError as error:
        yield problem(str(error))
        return
    if not sockets and state is not None and state.online:
        yield warning(
            f"{state.info.name} has lost its supervisor, and its jobs with it; the next job starts another",
            restart_command(context, "worker"),
        )


@check("versions")
def versions(context: Context) -> Iterator[Finding]:
    """All machines run the relayq that the broker's machine serves."""
    if context.workers is None:
        return
    wanted = _served(context) or relayq.__version__
    if wanted != relayq.__version__:
        sentence = f"this machine runs relayq {relayq.__version__}, the broker's machine serves {wanted}"
        yield warning(sentence, "relayq upgrade")
    others = [w for w in context.workers if w.online and w.info.version not in {"", wanted} and not _here(context, w)]
    for state in others:
        yield warning(f"{state.info.name} runs relayq {state.info.version}, not {wanted}: upgrade it, on that machine")
    mine = context.worker
    if mine is not None and mine.online and mine.info.version not in {"", relayq.__version__}:
        sentence = f"{mine.info.name} still runs {mine.info.version}, {relayq.__version__} is installed"
        yield warning(sentence, restart_command(context, "worker"))
    elif not others and wanted == relayq.__version__:
        yield ok(f"{wanted} everywhere")


def _busy_now(context: Context, name: str) -> bool:
    try:
        _, states = context.sources.workers(context.settings)
    except RelayqError:
        return True  # the broker has gone meanwhile: nothing is known
    return any(state.info.name == name and state.running >= state.info.slots for state in states)


def _served(context: Context) -> str | None:
    try:
        return context.ask_server() if context.server_url else None
    except SetupError:
        return None  # the check "server" has said so


def _here(context: Context, state: WorkerState) -> bool:
    mine = context.worker
    return mine is not None and mine.info.name == state.info.name
