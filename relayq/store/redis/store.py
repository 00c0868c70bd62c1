"""What clients ask of the store in Redis: to submit, read, wait, and care for workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from relayq import heartbeats
from relayq.errors import IdTaken, Refused, StoreFull, UnknownJob
from relayq.lifecycle import contact_patience
from relayq.model import Change, Event, Job, JobSpec, Output, Queue, State, WorkerState
from relayq.store import NewJob, Unserved, codec
from relayq.store.redis.workers import WorkerCalls, in_rows, no_such
from relayq.store.trouble import translated


class RedisStore(WorkerCalls):
    """A store at `url`. Safe to share between threads; connections are made as they are needed.

    `timeout` bounds every call (seconds); nothing is tried again here, because only the caller knows whether it should
    be. `clock` replaces the server's time (tests).
    """

    def submit(self, jobs: Sequence[NewJob], *, inbox: str | None = None) -> list[Job]:
        args: list[Any] = [inbox or "", len(jobs)]
        for job in jobs:
            doc = codec.new_doc(job.id, job.spec, job.lane, job.retry_of, job.celery_id)
            args += [codec.dumps(codec.spec_to_json(job.spec)), doc, "1" if job.anyway else ""]
        answer = self._call("submit", *args)
        match answer[0]:
            case b"unserved":
                raise Unserved([lane.decode() for lane in answer[1:]])
            case b"full":
                raise StoreFull(
                    "the broker is close to its memory limit and takes no new jobs; running ones are safe. "
                    "Raise maxmemory, or shorten `keep` or `output_budget_bytes`"
                )
            case b"taken":
                raise IdTaken(f"another job already has the id {answer[1].decode()}; choose another, or none")
        self.submitted_in = int(answer[2])
        return [codec.job_from_texts("", doc, job.spec) for job, doc in zip(jobs, answer[3:], strict=True)]

    def epoch(self) -> int:
        return int(self._call("epoch"))

    def cancel(self, id: str) -> Job:
        answer = self._call("cancel", id)
        if not answer:
            raise UnknownJob(_unknown(id))
        return codec.job_from_texts(answer[0], answer[1])

    def remove_worker(self, worker: str) -> None:
        match self._call("leave", worker, "", "1"):
            case b"unknown":
                raise no_such(worker)
            case b"busy":
                raise Refused(f"{worker} is online or still holds a job: stop it first, then remove it")

    def pause(
        self,
        worker: str,
        *,
        seconds: float | None = None,
        draining: bool = False,
        by: str | None = None,
        note: str | None = None,
    ) -> None:
        said = {k: v for k, v in (("draining", draining), ("by", by), ("note", note)) if v}
        self._rest(worker, "pause", codec.dumps(said), "" if seconds is None else repr(float(seconds)))

    def resume(self, worker: str) -> None:
        self._rest(worker, "resume")

    def reprobe(self, worker: str, programs: Sequence[str] = ()) -> None:
        self._rest(worker, "reprobe", codec.dumps({"programs": " ".join(programs)}))

    def get(self, ids: Sequence[str]) -> list[Job | None]:
        rows = in_rows(self._call("get", *ids), 2)
        return [codec.job_from_texts(spec, doc) if doc else None for spec, doc in rows]

    def find(self, prefix: str, limit: int = 3) -> list[str]:
        return [id.decode() for id in self._call("find", prefix, limit)]

    def page(
        self,
        *,
        states: Iterable[State] = tuple(State),
        worker: str | None = None,
        before: float | None = None,
        since: float | None = None,
        limit: int = 50,
        oldest: bool = False,
    ) -> list[Job]:
        below = "" if before is None else f"{before:.6f}"
        after = "" if since is None else f"{since:.6f}"
        answer = self._call("page", worker or "", below, after, limit, "1" if oldest else "", *states)
        return [codec.job_from_texts(spec, doc) for spec, doc in in_rows(answer, 2)]

    def lately(self, limit: int = 20) -> list[Job]:
        return [codec.job_from_texts(spec, doc) for spec, doc in in_rows(self._call("lately", limit), 2)]

    def counts(self) -> Mapping[State, int]:
        answer = self._call("counts")
        return {State(state.decode()): int(n) for state, n in zip(answer[::2], answer[1::2], strict=True)}

    def output(self, id: str, *, attempt: int | None = None, position: int = 0) -> Output:
        answer = self._call("output", id, "" if attempt is None else attempt, position)
        if not answer:
            raise UnknownJob(_unknown(id))
        chunks = tuple(codec.chunk_from_bytes(element) for element in answer[3:])
        return Output(attempt=int(answer[0]), ended=answer[1] == b"1", next=int(answer[2]), chunks=chunks)

    def workers(self) -> tuple[float, list[WorkerState]]:
        answer = self._call("workers")
        now = float(answer[0])
        patience = contact_patience(self.lease_floor)
        states = [
            WorkerState(
                info=codec.worker_from_text(info),
                online=bool(seen_at) and not left_at and now - float(seen_at) <= patience,
                left=bool(left_at),
                seen_at=float(seen_at or 0),
                running=int(held),
                load=float(load) if load else None,
                paused=codec.pause_from_text(paused, until, now),
                quarantined=codec.quarantine_from_text(quarantined),
                held_back=held_back.decode() or None,
                readings=codec.readings_from_text(readings),
                reprobe=codec.reprobe_from_text(reprobe),
            )
            for info, seen_at, held, load, paused, until, quarantined, held_back, left_at, readings, reprobe in in_rows(
                answer[1:], 11
            )
        ]
        return now, sorted(states, key=lambda state: state.info.name)

    def heartbeats(self) -> dict[str, tuple[float | None, ...]]:
        answer = self._call("heartbeats")
        now = float(answer[0])
        rows = ((name.decode(), codec.beats_from_flat(beats)) for name, beats in in_rows(answer[1:], 2))
        return {name: heartbeats.day(beats, since, now) for name, (beats, since) in rows}

    def queues(self) -> list[Queue]:
        rows = in_rows(self._call("queues")[1:], 3)
        found = [
            Queue(lane=lane.decode(), waiting=int(waiting), oldest_at=float(oldest) if oldest else None)
            for lane, waiting, oldest in rows
        ]
        return sorted(found, key=lambda queue: queue.lane)

    def watch(self, inbox: str, ids: Sequence[str], *, output: bool = False) -> list[Job]:
        answer = self._call("watch", inbox, "out" if output else "end", *ids)
        return [codec.job_from_texts(spec, doc) for spec, doc in in_rows(answer, 2)]

    def wait(
        self, inbox: str, cursor: str, timeout: float, known: Mapping[str, JobSpec] = MappingProxyType({})
    ) -> tuple[str, list[Change]]:
        changes = []
        for entry, row in self._read_stream(f"relayq:inbox:{inbox}", cursor, timeout, 1000):
            cursor = entry
            changes.append(_change(row, known))
        return cursor, changes

    def events(self, cursor: str, timeout: float, limit: int = 1000) -> tuple[str, list[Event]]:
        happened = []
        for entry, row in self._read_stream("relayq:events", cursor, timeout, limit):
            cursor = entry
            happened.append(codec.event_from_row(entry, row))
        return cursor, happened

    def events_kept(self) -> tuple[str, str]:
        first, last = self._call("events_kept")
        return first.decode(), last.decode()

    def _read_stream(self, key: str, cursor: str, timeout: float, limit: int) -> Iterator[tuple[str, list[bytes]]]:
        """Entries as flat lists: an entry may name a field several times, which a dict would lose."""
        # A blocked read must end before the socket's own timeout does.
        block = max(1, int(min(timeout, self._timeout * 0.8) * 1000))
        with translated(self.url):
            answer = self._scripts.ask("XREAD", "COUNT", limit, "BLOCK", block, "STREAMS", key, cursor)
        for _, entries in answer or ():
            for entry, row in entries:
                yield entry.decode(), row

    def replies_due(self, age: float) -> list[Job]:
        return [codec.job_from_texts(spec, doc) for spec, doc in in_rows(self._call("replies", "due", age), 2)]

    def replied(self, id: str) -> None:
        self._call("replies", "done", id)

    def ping(self) -> None:
        """Raise BrokerUnavailable or BrokerRefused if the broker cannot be used."""
        self._call("counts")

    def close(self) -> None:
        self._scripts.close()


def _unknown(id: str) -> str:
    return f"no job has the id {id}: finished jobs are kept for a week. See: relayq list"


def _change(row: Sequence[bytes], known: Mapping[str, JobSpec]) -> Change:
    job, what = row[1].decode(), row[3].decode()
    spec = known.get(job)
    if len(row) == 4 or spec is None:
        return Change(job=job, what=what)
    record = codec.job_from_texts("", row[5], spec)
    return Change(job=job, what=what, record=record, chunks=tuple(map(codec.chunk_from_bytes, row[7::2])))
