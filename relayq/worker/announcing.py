"""In a new epoch the store may have forgotten its last second: this worker says what it runs and has ended (P7)."""

from __future__ import annotations

import logging

from relayq.store import NewJob, Store
from relayq.worker.holding import Holding

log = logging.getLogger("relayq.worker")


def announce(store: Store, worker: str, incarnation: str, holding: Holding) -> None:
    """Say it, submit what the store no longer knows, and say recent ends again. Raises BrokerUnavailable, Replaced."""
    held, ends = holding.all(), holding.ends()
    running = [*holding.aged(), *(end.held for end in ends)]
    answer = store.announce(worker, incarnation, running)
    forgotten = [job for id in answer.unknown if (job := holding.job(id)) is not None]
    if forgotten:
        log.warning("the broker has forgotten %s jobs; submitting them again", len(forgotten))
        store.submit(
            [
                NewJob(
                    id=job.id, spec=job.spec, lane=job.lane, anyway=True, retry_of=job.retry_of, celery_id=job.celery_id
                )
                for job in forgotten
            ]
        )
    if answer.unknown:
        known = {job.id for job in forgotten}
        lost = set(answer.unknown) - known
        answer = store.announce(worker, incarnation, [h for h in running if h.job not in lost])
    for end in ends:
        store.finish(worker, incarnation, end.held, end.outcome, end.chunks, repeat=True)
    for h in held:
        if h.job in answer.stored:
            holding.is_stored(h, answer.stored[h.job])
    log.info("announced %s running and %s ended attempts to the broker", len(held), len(ends))
