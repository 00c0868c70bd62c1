"""The store in Redis: every call is one Lua script, so that it is atomic and costs one round trip.

The key layout stands at the head of `lua/lib/base.lua`. This module carries arguments in and records out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from relayq import heartbeats
from relayq.errors import (
    BrokerUnavailable,
    IdTaken,
    NameTaken,
    NoSuchWorker,
    Refused,
    Replaced,
    StaleAttempt,
    StoreFull,
    UnknownJob,
)
from relayq.lifecycle import LEASE_FLOOR, contact_patience
from relayq.model import (
    Bell,
    Change,
    Chunk,
    Event,
    Held,
    Job,
    JobSpec,
    Outcome,
    Output,
    Pulse,
    Queue,
    Readings,
    State,
    WorkerInfo,
    WorkerState,
)
from relayq.store import KEEP, OUTPUT_BUDGET, Announced, Claim, Finish, NewJob, Registered, Unserved, codec
from relayq.store.scripts import Scripts
from relayq.store.trouble import translated


class RedisStore:
    """A store at `url`. Safe to share between threads; connections are made as they are needed.

    `timeout` bounds every call (seconds); nothing is tried again here, because only the caller knows whether it should
    be. `clock` replaces the server's time (tests).
    """

    def __init__(
        self,
        url: str,
        *,
        lease_floor: float = LEASE_FLOOR,
        keep: float = KEEP,
        output_budget: int = OUTPUT_BUDGET,
        timeout: float = 5.0,
        connect_timeout: float = 2.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.url = url
        self.submitted_in = 0
        self.lease_floor = lease_floor
        self._timeout = timeout
        settings = (repr(float(lease_floor)), repr(float(keep)), str(output_budget))
        self._scripts = Scripts(url, settings, timeout=timeout, connect_timeout=connect_timeout, clock=clock)
        self._redis = self._scripts.redis
        self._call = self._scripts.call

    # ── submitting ──

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

    # ── a worker's calls ──

    def register(
        self, info: WorkerInfo, bell: Bell, running: Sequence[Held] = (), *, said_at: float | None = None
    ) -> Registered:
        args: list[Any] = [
            codec.worker_to_text(info),
            bell.queue,
            bell.ring,
            bell.channel,
            bell.nudge,
            "" if said_at is None else said_at,
            len(running),
        ]
        for held in running:
            args += _said(held)
        answer = self._call("register", *args)
        if answer[0] == b"late":
            raise BrokerUnavailable("the registration was too long on its way")
        if answer[0] == b"taken":
            raise NameTaken(
                f"another machine is registered as {info.name} and {answer[1].decode()}. "
                f"Give this one another name (--name), or remove that one: relayq worker remove {info.name}"
            )
        return Registered(
            now=float(answer[1]),
            lanes_version=int(answer[2]),
            adopted=tuple(running[n - 1] for n in answer[3]),
            lanes=tuple(lane.decode() for lane in answer[4:]),
        )

    def serve(
        self,
        worker: str,
        lanes: Iterable[str],
        *,
        all: bool,
        version: int | None = None,
        lacks: Mapping[str, int] = MappingProxyType({}),
    ) -> int:
        said = [word for lane in lanes for word in (lane, lacks.get(lane, 0))]
        return int(self._call("serve", worker, "1" if all else "", "" if version is None else version, *said))

    def describe(self, info: WorkerInfo) -> None:
        if self._call("describe", codec.worker_to_text(info), info.name, info.incarnation) == b"replaced":
            raise _replaced(info.name)

    def lanes(self) -> tuple[int, tuple[str, ...]]:
        version, *lanes = self._call("lanes")
        return int(version), tuple(lane.decode() for lane in lanes)

    def leave(self, worker: str, incarnation: str, held: Sequence[Held] = ()) -> dict[Held, float]:
        args: list[Any] = [worker, incarnation, "", len(held)]
        for h in held:
            args += [h.job, h.number, h.nonce]
        answer = self._call("leave", *args)
        if isinstance(answer, bytes):
            raise _replaced(worker)
        return {held[n - 1]: float(seconds) for n, seconds in _rows(answer, 2)}

    def remove_worker(self, worker: str) -> None:
        match self._call("leave", worker, "", "1"):
            case b"unknown":
                raise _no_such(worker)
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

    def release(self, worker: str) -> None:
        self._rest(worker, "release")

    def _rest(self, worker: str, *said: str) -> None:
        if self._call("rest", worker, *said) == b"unknown":
            raise _no_such(worker)

    def claim(self, worker: str, incarnation: str, nonce: str, *, repeat: bool = False) -> Claim | None:
        answer = self._call("claim", worker, incarnation, nonce, "1" if repeat else "")
        if answer[0] == b"replaced":
            raise _replaced(worker)
        return _claim(answer[1:])

    def finish(
        self,
        worker: str,
        incarnation: str,
        held: Held,
        outcome: Outcome,
        chunks: Sequence[Chunk] = (),
        *,
        next_nonce: str | None = None,
        repeat: bool = False,
    ) -> Finish:
        return self._finish(worker, incarnation, held, outcome, chunks, next_nonce or "", repeat, "")

    def give_back(self, worker: str, incarnation: str, held: Held, outcome: Outcome, *, lost: bool) -> Finish:
        return self._finish(worker, incarnation, held, outcome, (), "", False, "2" if lost else "1")

    def _finish(
        self,
        worker: str,
        incarnation: str,
        held: Held,
        outcome: Outcome,
        chunks: Sequence[Chunk],
        next_nonce: str,
        repeat: bool,
        back: str,
    ) -> Finish:
        answer = self._call(
            "finish",
            worker,
            incarnation,
            held.job,
            held.number,
            held.nonce,
            codec.dumps(codec.outcome_to_json(outcome)),
            next_nonce,
            "1" if repeat else "",
            back,
            len(chunks),
            *_flat(chunks),
        )
        state = answer[1].decode()
        following = _claim(answer[3:]) if answer[2] == b"job" else None
        return Finish(heard=answer[0] == b"ok", state=State(state) if state else None, next=following)

    def pulse(
        self,
        worker: str,
        incarnation: str,
        held: Sequence[Held] = (),
        *,
        load: float | None = None,
        readings: Readings | None = None,
        held_back: str | None = None,
        said_at: float | None = None,
        asking: Sequence[str] = (),
    ) -> Pulse:
        args: list[Any] = [worker, incarnation, "" if load is None else f"{load:.2f}", held_back or ""]
        args += ["" if said_at is None else said_at, " ".join(asking)]
        args += [codec.readings_to_text(readings) if readings else "", len(held)]
        for h in held:
            args += [h.job, h.number, h.nonce, codec.progress_to_text(h)]
        answer = self._call("pulse", *args)
        if answer[0] == b"replaced":
            raise _replaced(worker)
        terms = answer[4]
        return Pulse(
            now=float(answer[1]),
            lanes_version=int(answer[2]),
            work_waiting=answer[3] == b"1",
            term={id.decode(): float(term) for id, term in zip(terms[::2], terms[1::2], strict=True)},
            superseded=tuple(id.decode() for id in answer[5]),
            cancelled=tuple(id.decode() for id in answer[6]),
            quarantined=json.loads(answer[7])["why"] if answer[7] else None,
            unheard=int(answer[8]),
            announce=answer[9] == b"1",
            next_due=float(answer[10]) if answer[10] else None,
            reprobe=codec.reprobe_from_text(answer[11]),
        )

    def announce(self, worker: str, incarnation: str, running: Sequence[Held]) -> Announced:
        args: list[Any] = [worker, incarnation, len(running)]
        for held in running:
            args += _said(held)
        answer = self._call("announce", *args)
        if answer[0] == b"replaced":
            raise _replaced(worker)
        return Announced(
            unknown=tuple(id.decode() for id in answer[1]),
            stored={id.decode(): (int(out), int(err)) for id, out, err in _rows(answer[2], 3)},
        )

    def append(self, held: Held, chunks: Sequence[Chunk]) -> None:
        said = codec.progress_to_text(held)
        args = [held.job, held.number, held.nonce, len(chunks), *_flat(chunks), *([said] if said else ())]
        if self._call("append", *args) == b"stale":
            raise StaleAttempt(f"attempt {held.number} of job {held.job} no longer counts")

    # ── reading ──

    def get(self, ids: Sequence[str]) -> list[Job | None]:
        rows = _rows(self._call("get", *ids), 2)
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
        return [codec.job_from_texts(spec, doc) for spec, doc in _rows(answer, 2)]

    def lately(self, limit: int = 20) -> list[Job]:
        return [codec.job_from_texts(spec, doc) for spec, doc in _rows(self._call("lately", limit), 2)]

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
            for info, seen_at, held, load, paused, until, quarantined, held_back, left_at, readings, reprobe in _rows(
                answer[1:], 11
            )
        ]
        return now, sorted(states, key=lambda state: state.info.name)

    def heartbeats(self) -> dict[str, tuple[float | None, ...]]:
        answer = self._call("heartbeats")
        now = float(answer[0])
        rows = ((name.decode(), codec.beats_from_flat(beats)) for name, beats in _rows(answer[1:], 2))
        return {name: heartbeats.day(beats, since, now) for name, (beats, since) in rows}

    def queues(self) -> list[Queue]:
        rows = _rows(self._call("queues")[1:], 3)
        found = [
            Queue(lane=lane.decode(), waiting=int(waiting), oldest_at=float(oldest) if oldest else None)
            for lane, waiting, oldest in rows
        ]
        return sorted(found, key=lambda queue: queue.lane)

    # ── waiting ──

    def watch(self, inbox: str, ids: Sequence[str], *, output: bool = False) -> list[Job]:
        answer = self._call("watch", inbox, "out" if output else "end", *ids)
        return [codec.job_from_texts(spec, doc) for spec, doc in _rows(answer, 2)]

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

    # ── 1.x answers ──

    def replies_due(self, age: float) -> list[Job]:
        return [codec.job_from_texts(spec, doc) for spec, doc in _rows(self._call("replies", "due", age), 2)]

    def replied(self, id: str) -> None:
        self._call("replies", "done", id)

    # ── underneath ──

    def ping(self) -> None:
        """Raise BrokerUnavailable or BrokerRefused if the broker cannot be used."""
        self._call("counts")

    def close(self) -> None:
        self._scripts.close()


def _unknown(id: str) -> str:
    return f"no job has the id {id}: finished jobs are kept for a week. See: relayq list"


def _no_such(worker: str) -> NoSuchWorker:
    return NoSuchWorker(f'no worker is called "{worker}". See: relayq workers')


def _replaced(worker: str) -> Replaced:
    return Replaced(f"another process has started as {worker} on this machine; this one stops")


def _claim(texts: Sequence[Any]) -> Claim | None:
    if not texts:
        return None
    return Claim(job=codec.job_from_texts(texts[0], texts[1]), term=float(texts[2]))


def _said(held: Held) -> list[Any]:
    return [held.job, held.number, held.nonce, "" if held.age is None else f"{held.age:.3f}"]


def _flat(chunks: Sequence[Chunk]) -> Iterator[Any]:
    for chunk in chunks:
        yield chunk.stream
        yield chunk.offset
        yield chunk.data


def _rows(flat: Sequence[Any], width: int) -> Iterator[tuple[Any, ...]]:
    return zip(*[iter(flat)] * width, strict=True)


def _change(row: Sequence[bytes], known: Mapping[str, JobSpec]) -> Change:
    job, what = row[1].decode(), row[3].decode()
    spec = known.get(job)
    if len(row) == 4 or spec is None:
        return Change(job=job, what=what)
    record = codec.job_from_texts("", row[5], spec)
    return Change(job=job, what=what, record=record, chunks=tuple(map(codec.chunk_from_bytes, row[7::2])))
