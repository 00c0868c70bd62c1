"""What must hold after every test, whatever was done to the fleet: nothing lost, nothing twice, nothing left behind."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import redis

from relayq.model import Job
from tests.conftest import wait_until

from . import processes

if TYPE_CHECKING:
    from .fleet import Fleet

ENDS = {"succeeded", "failed", "cancelled"}


def violations(fleet: Fleet) -> list[str]:
    """Sentences, one for each thing that is wrong. The broker must be there."""
    ids = [handle.id for handle in fleet.jobs if handle.id not in fleet.unfinished]
    jobs = dict(zip(ids, fleet.client.store.get(ids), strict=True)) if ids else {}
    wrong = [f"job {id} is lost" for id, job in jobs.items() if job is None]
    known = [job for job in jobs.values() if job is not None]
    wrong += [f"job {job.id} has no end: {job.state}" for job in known if not job.state.ended]
    wrong += [said for job in known for said in record_violations(job)]
    wrong += [f"job {id} ended {n} times" for id, n in ends(fleet.broker.url).items() if n > 1]
    wrong += [f"overlapping: {said}" for said in fleet.records.overlaps(but=fleet.may_overlap)]
    return wrong + left_behind(fleet)


def record_violations(job: Job) -> list[str]:
    """What a job's own history says against it."""
    wrong = []
    numbers = [attempt.number for attempt in job.attempts]
    if numbers != list(range(1, len(numbers) + 1)):
        wrong.append(f"job {job.id} has the attempts {numbers}")
    for older, newer in pairwise(job.attempts):
        if older.ended_at is None or older.ended_at > newer.claimed_at:
            wrong.append(f"job {job.id}: attempt {newer.number} began before attempt {older.number} was over")
    if job.state.ended and any(attempt.ended_at is None for attempt in job.attempts):
        wrong.append(f"job {job.id} has ended, but not all of its attempts")
    return wrong


def ends(url: str) -> Counter[str]:
    """How often each job was recorded as ended."""
    with redis.Redis.from_url(url, decode_responses=True) as client:
        entries = client.xrange("relayq:events")
    return Counter(fields["job"] for _, fields in entries if fields["what"] in ENDS)


def left_behind(fleet: Fleet) -> list[str]:
    """Processes of jobs that run although no job does."""
    unfinished = {handle.id for handle in fleet.jobs if handle.id in fleet.unfinished}

    def left() -> list[str]:
        return [
            f"{p.command[:80]} ({p.pid}, {p.state}) is left on {node.name}"
            for node in fleet.nodes.values()
            for p in processes.of_home(node.home)
            if p.role == "job"
        ]

    if unfinished or not left():
        return []
    try:
        wait_until(lambda: not left(), 15)
    except BaseException as error:
        if not re.search("in vain", str(error)):
            raise
        return left()
    return []
