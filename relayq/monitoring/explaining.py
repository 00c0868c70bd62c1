"""How things are, in words: a sentence for every wait and every end; the status as 1.x told it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from relayq.columns import table
from relayq.errors import BrokerUnavailable
from relayq.lifecycle import left_out_until
from relayq.model import Job, Pause, State, WorkerState
from relayq.placement import ANY, Placement, Verdict, in_turn, place, read_lane, requirement, rule_lacks
from relayq.progress import Progress
from relayq.requirements import listed, spoken
from relayq.store import Store


class WorkerStatus(dict[str, Any]):
    """All workers as 1.x told of them, and more; prints as a table."""

    def __str__(self) -> str:
        if not self["online"] and "error" in self:
            return f"broker away: {self['error']}"
        if not self["workers"]:
            return "no worker has joined yet. Start one with: relayq worker"
        rows = [("WORKER", "STATE", "SLOTS", "RUNNING", "WAITING", "LABELS")]
        for name, w in self["workers"].items():
            waiting = str(w["queued_jobs"])
            rows.append((name, w["state"], str(w["slots"]), str(w["active_jobs"]), waiting, " ".join(w["labels"])))
        return table(rows, names=(0,), wrap=True)


def worker_status(store: Store) -> WorkerStatus:
    """All workers. 1.x keys: online, total_workers, total_active, total_queued, workers{name: {type, active_jobs,
    queued_jobs, total_jobs, online}}; with the broker away {online: False, error, workers: {}}, without raising."""
    try:
        now, workers = store.workers()
        counts = store.counts()
        waiting = store.page(states=[State.QUEUED], limit=1000) if counts[State.QUEUED] else []
    except BrokerUnavailable as error:
        return away(error)
    pinned = [requirement(job.lane)[0] for job in waiting]
    return WorkerStatus(
        online=any(w.online for w in workers),
        total_workers=len(workers),
        total_active=sum(w.running for w in workers),
        total_queued=counts[State.QUEUED],
        jobs={str(state): count for state, count in counts.items()},
        workers={w.info.name: _worker(w, pinned.count(w.info.name), now) for w in workers},
    )


def away(error: BrokerUnavailable) -> WorkerStatus:
    """The status when the broker cannot be asked."""
    return WorkerStatus(online=False, error=str(error), total_workers=0, total_active=0, total_queued=0, workers={})


def _worker(worker: WorkerState, queued: int, now: float) -> dict[str, Any]:
    info = worker.info
    kind = next((label for label in ("mac", "rpi") if label in info.labels), "worker")
    return {
        "type": kind,
        "active_jobs": worker.running,
        "queued_jobs": queued,
        "total_jobs": worker.running + queued,
        "online": worker.online,
        "state": state_word(worker, now),
        "why": absence(worker, now) if worker.resting or not worker.online else None,
        "slots": info.slots,
        "labels": list(info.labels),
        "capabilities": list(info.capabilities),
        "found": [asdict(each) for each in info.found],
        "facts": dict(info.facts),
        "host": info.host,
        "system": info.system,
        "version": info.version,
        "pid": info.pid,
        "seen_at": worker.seen_at,
        "load": worker.load,
    }


def state_word(worker: WorkerState, now: float) -> str:
    """One or a few words for how a worker is."""
    if not worker.online:
        silent = now - worker.seen_at
        lost = worker.running and not worker.left and silent < 600
        return f"lost contact {silent:.0f} s" if lost else "offline"
    if worker.quarantined:
        return "quarantined"
    if worker.paused:
        if not worker.paused.draining:
            return "paused"
        return "draining" if worker.running else "drained"
    if worker.held_back:
        return "holding back"
    return "busy" if worker.running >= worker.info.slots else "online"


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """Why a job is where it is: one sentence for the job, one for each machine."""

    sentence: str
    machines: Mapping[str, str]

    def __str__(self) -> str:
        return "\n".join([self.sentence, *(f"  {line}" for line in self.machines.values())])


def explain(job: Job, workers: Sequence[WorkerState], now: float) -> Explanation:
    """The same sentences everywhere: Python, command line, dashboard."""
    if job.state.ended:
        return Explanation(sentence=_elsewhere(job, workers, now), machines={})
    placed = place(job.lane, workers, now)
    note = _dropped(placed, job, now)
    if job.state is State.RUNNING:
        machines = {v.worker.info.name: _beside(v, job, now) for v in placed.verdicts}
        return Explanation(sentence=_elsewhere(job, workers, now) + note, machines=machines)
    machines = {v.worker.info.name: _why(v, job, now) for v in placed.verdicts}
    ready = [w for w in placed.able if w.online and not w.resting]
    return Explanation(sentence=_waiting(job, workers, placed.able, ready, now) + note, machines=machines)


def _waiting(
    job: Job, workers: Sequence[WorkerState], able: Sequence[WorkerState], ready: Sequence[WorkerState], now: float
) -> str:
    if job.not_before is not None and job.not_before > now:
        return f"{job.id} waits {job.not_before - now:.0f} s before its next attempt"
    if not able:
        on, needs = requirement(job.lane)
        having = f"that has {listed(need.replace(':', ' ', 1) for need in needs)}" if needs else "at all"
        wanted = f'called "{on}"' if on else having
        return f"{job.id} waits: there is no worker {wanted} yet"
    if not ready:
        names = " and ".join(w.info.name for w in able)
        if len(able) == 1:
            return f"{job.id} waits for {names}, which {absence(able[0], now)}"
        which = "every worker" if len(able) == len(workers) and job.lane == ANY else f"each of {names}"
        return f"{job.id} waits: {which} is away or takes nothing new"
    fit = [w for w in ready if left_out_until(job, w.info.name) <= now]
    if not fit:
        until = min(left_out_until(job, w.info.name) for w in ready)
        names = " and ".join(w.info.name for w in ready)
        return f"{job.id} waits: {names} could not start it; it is tried there again at {clock_time(until, now)}"
    next_ones = in_turn(fit, job.lane, job.spec.prefer)
    if not next_ones:
        names = " and ".join(w.info.name for w in fit)
        return f"{job.id} waits for a free slot: {names} {'is' if len(fit) == 1 else 'are'} busy"
    return f"{job.id} is about to start on {next_ones[0].info.name}"


def _dropped(placed: Placement, job: Job, now: float) -> str:
    """What a rule would have liked better and cannot have."""
    holder = next((w for w in placed.able if w.info.name == job.worker), None)
    if not placed.dropped or (job.state is State.RUNNING and (holder is None or not rule_lacks(holder.info, job.lane))):
        return ""
    rule = read_lane(job.lane).rule
    if lost := [word for word in placed.dropped if word in rule.programs]:
        return f" (a rule asks for {listed(map(spoken, lost))}, which no known machine has, and is dropped)"
    wanted = listed(map(spoken, (*rule.programs, *rule.labels)))
    return f" (a rule would send it to a machine with {wanted}, but none has been online in the last 10 minutes)"


def _beside(verdict: Verdict, job: Job, now: float) -> str:
    worker, name = verdict.worker, verdict.worker.info.name
    if name == job.worker:
        return f"{name} runs it"
    if verdict.why_not is None and (worker.resting or not worker.online):
        return f"{name} {absence(worker, now)}"
    return f"{name} could run it as well" if verdict.why_not is None else f"{name} {verdict.why_not}"


def _why(verdict: Verdict, job: Job, now: float) -> str:
    worker = verdict.worker
    name = worker.info.name
    if verdict.why_not is not None:
        return f"{name} {verdict.why_not}"
    if worker.online and not worker.resting and (until := left_out_until(job, name)) > now:
        return f"{name} could not start it and is left out until {clock_time(until, now)}"
    if not worker.online or worker.resting:
        return f"{name} {absence(worker, now)}"
    if worker.running >= worker.info.slots:
        return f"{name} is busy: {worker.running} of {worker.info.slots} slots in use"
    return f"{name} could run it now"


def absence(worker: WorkerState, now: float) -> str:
    """Why a worker does nothing new, as the end of a sentence that names it."""
    if worker.online and worker.quarantined:
        return f"is quarantined since {clock_time(worker.quarantined.since, now)}: {worker.quarantined.why}"
    if worker.online and worker.paused:
        return _paused(worker.paused, now)
    if worker.online and worker.held_back:
        return f"takes nothing new: {worker.held_back}"
    if not worker.seen_at:
        return "has never been online"
    return f"is offline since {clock_time(worker.seen_at, now)}"


def _paused(pause: Pause, now: float) -> str:
    said = "is draining" if pause.draining else "is paused"
    if pause.by:
        said += f" by {pause.by}"
    said += f" until {clock_time(pause.until, now)}" if pause.until else f" since {clock_time(pause.since, now)}"
    return f"{said}: {pause.note}" if pause.note else said


def _elsewhere(job: Job, workers: Sequence[WorkerState], now: float) -> str:
    attempt = job.attempt
    if job.state is State.RUNNING and attempt is not None:
        holder = next((w for w in workers if w.info.name == attempt.worker), None)
        if attempt.offered_at is not None:
            return f"{job.id} ran on {attempt.worker}, which has lost contact; another worker will take it"
        if holder is not None and not holder.online:
            return f"{job.id} runs on {attempt.worker}, which {absence(holder, now)}"
        said = str(progress_of(job) or "")
        return f"{job.id} runs on {attempt.worker} for {duration(now - attempt.claimed_at)}" + (
            f": {said}" if said else ""
        )
    return f"{job.id} {ending(job)}"


def progress_of(job: Job) -> Progress | None:
    """How far a running job says it is."""
    attempt = job.attempt
    if job.state is not State.RUNNING or attempt is None or (attempt.progress is None and attempt.note is None):
        return None
    return Progress(attempt.progress, attempt.note)


def ending(job: Job) -> str:
    """How an ended job ended, as the end of a sentence."""
    outcome = job.attempt.outcome if job.attempt else None
    where = f" on {job.worker}" if job.worker else ""
    match job.reason:
        case "exited" if outcome is not None and outcome.signal is not None:
            text = f"was ended by signal {outcome.signal}{where}"
        case "exited":
            code = outcome.exit_code if outcome else None
            text = "succeeded" + where if code == 0 else f"failed{where} with exit code {code}"
        case "timed_out":
            text = f"ran longer than its timeout of {job.spec.timeout or 0:g} s{where}"
        case "cancelled":
            text = "was cancelled"
        case "worker_lost":
            text = f"was lost with {job.worker}"
        case "poison":
            text = f"was lost {job.losses} times with the worker that ran it, and is not tried again"
        case "queue_timed_out":
            text = f"waited longer than its queue_timeout of {job.spec.queue_timeout or 0:g} s"
        case "not_started":
            text = f"could not be started{where}"
        case _:
            text = f"ended: {job.reason}"
    return f"{text}: {job.message}" if job.message else text


def clock_time(at: float, now: float) -> str:
    """An instant for people: the time of day, with the date if that is not today's."""
    same_day = time.localtime(at)[:3] == time.localtime(now)[:3]
    return time.strftime("%H:%M" if same_day else "%Y-%m-%d %H:%M", time.localtime(at))


def duration(seconds: float) -> str:
    """A length of time for people: 0.4 s, 12 s, 3 min, 2 h 5 min."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
