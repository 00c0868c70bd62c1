"""The API's jobs: listed, looked at, submitted, cancelled, asked for again."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Path, Query

from relayq.client import new_id, submit_served
from relayq.errors import BadSpec, InvalidTransition, RelayqError, UnknownJob
from relayq.model import Job, JobSpec, State
from relayq.monitoring import JobDetails, JobRow, details, job_rows
from relayq.routes import lane_of
from relayq.server.asked import NewJob
from relayq.server.index import Wanted, row_number
from relayq.server.tools import Tools, ToolsOf
from relayq.spec import ID, check_id
from relayq.store import NewJob as Submission

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

JobId = Annotated[str, Path(pattern=f"^{ID.pattern}$", description="the whole id")]
Instant = Annotated[float | None, Query(ge=0, lt=1e11, description="seconds since the epoch")]


@dataclass(frozen=True, kw_only=True)
class JobPage:
    """Some jobs, newest first."""

    jobs: tuple[JobRow, ...]
    next: str | None  #: `after` for the next page; there may be one although this has fewer rows than `limit`
    indexing: bool  #: the index is being filled: a search may not find everything yet


@dataclass(frozen=True)
class JobRef:
    """A job by its id."""

    id: str


@router.get("")
def list_jobs(
    tools: ToolsOf,
    state: Annotated[list[State] | None, Query(description="may be repeated")] = None,
    worker: Annotated[str | None, Query(max_length=64, description="where it ran")] = None,
    q: Annotated[str | None, Query(max_length=200, description="words of its title, command, labels, id")] = None,
    exit_code: Annotated[int | None, Query(ge=-1000, le=1000)] = None,
    since: Instant = None,
    until: Instant = None,
    after: Annotated[str | None, Query(max_length=40, description="`next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> JobPage:
    """A page of jobs, newest first."""
    states, below = tuple(state or ()), _cursor(after)
    wanted = Wanted(
        words=q, states=states, worker=worker or None, exit_code=exit_code, since=since, until=until, below=below
    )
    found, next_below = _search(tools, wanted, limit) if _needs_index(wanted) else _page(tools, wanted, limit)
    now, workers = tools.store.workers()
    rows = job_rows(found, workers, now)
    return JobPage(jobs=rows, next=None if next_below is None else str(next_below), indexing=tools.indexer.filling)


@router.post("", status_code=201)
def submit(asked: NewJob, tools: ToolsOf) -> JobRef:
    """Queue a job."""
    id = new_id() if asked.id is None else check_id(asked.id)
    return _queue(tools, id, asked.spec(), anyway=asked.queue_anyway)


@router.get("/{id}")
def look(id: JobId, tools: ToolsOf) -> JobDetails:
    """Everything about a job."""
    return job_details(tools, id)


@router.post("/{id}/cancel")
def cancel(id: JobId, tools: ToolsOf) -> JobRef:
    """End it; a running one within its kill_grace."""
    return JobRef(tools.store.cancel(id).id)


@router.post("/{id}/rerun", status_code=201)
def rerun(id: JobId, tools: ToolsOf) -> JobRef:
    """A new job that asks for the same."""
    job = the_job(tools, id)
    return _queue(tools, new_id(), job.spec, anyway=True, retry_of=job.id)


@router.post("/{id}/run-elsewhere", status_code=201)
def run_elsewhere(id: JobId, tools: ToolsOf) -> JobRef:
    """A waiting job that is pinned to a machine: cancel it, and queue the same for any machine that can."""
    job = the_job(tools, id)
    if job.spec.on is None:
        raise InvalidTransition(f"{id} is not tied to one machine: it runs on the first that can and is free")
    _check_waits(job)
    spec = replace(job.spec, on=None)
    # First: it must not run twice. From here on its owner is told what is missing.
    _check_waits(tools.store.cancel(id), cancelled=True)
    try:
        return _queue(tools, new_id(), spec, retry_of=id)
    except RelayqError as error:
        raise type(error)(f"{id} is cancelled, but not queued again: {error}. Run it again from its page") from error


def the_job(tools: Tools, id: str) -> Job:
    """Raises UnknownJob."""
    [job] = tools.store.get([id])
    if job is None:
        raise UnknownJob(f"no job has the id {id}: finished jobs are kept for a week")
    return job


def job_details(tools: Tools, id: str) -> JobDetails:
    """Raises UnknownJob."""
    job = the_job(tools, id)
    now, workers = tools.store.workers()
    return details(job, workers, now)


def _queue(tools: Tools, id: str, spec: JobSpec, *, anyway: bool = False, retry_of: str | None = None) -> JobRef:
    new = Submission(id=id, spec=spec, lane=lane_of(spec, tools.settings.routes), anyway=anyway, retry_of=retry_of)
    [job] = submit_served(tools.store, [new])
    return JobRef(job.id)


def _check_waits(job: Job, *, cancelled: bool = False) -> None:
    if job.state is not (State.CANCELLED if cancelled else State.QUEUED):
        raise InvalidTransition(f"{job.id} does not wait any more, it is {job.state}: look at it again")


def _needs_index(wanted: Wanted) -> bool:
    """Whether the store's own indexes do not do."""
    return bool(wanted.words) or wanted.exit_code is not None or bool(wanted.worker and wanted.states)


def _page(tools: Tools, wanted: Wanted, limit: int) -> tuple[list[Job], int | None]:
    befores = [row / 1_000_000 for row in (wanted.below,) if row is not None]
    befores += [] if wanted.until is None else [wanted.until]
    found = tools.store.page(
        states=wanted.states or tuple(State),
        worker=wanted.worker,
        before=min(befores, default=None),
        since=wanted.since,
        limit=limit,
    )
    return found, row_number(found[-1].place) if len(found) == limit else None


def _search(tools: Tools, wanted: Wanted, limit: int) -> tuple[list[Job], int | None]:
    """The index says which, the store what they are now."""
    hits = tools.index.search(wanted, limit)
    jobs = tools.store.get(hits.ids) if hits.ids else []
    if gone := [id for id, job in zip(hits.ids, jobs, strict=True) if job is None]:
        tools.index.forget(gone)
    return [job for job in jobs if job is not None], hits.below


def _cursor(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise BadSpec("after is not what a page gave as next")
    return int(text)
