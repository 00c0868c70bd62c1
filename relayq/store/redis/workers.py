"""What workers ask of the store in Redis: to register, claim, finish, renew, append."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from relayq.errors import BrokerUnavailable, NameTaken, NoSuchWorker, Replaced, StaleAttempt
from relayq.lifecycle import LEASE_FLOOR
from relayq.model import Bell, Chunk, Held, Outcome, Pulse, Readings, State, WorkerInfo
from relayq.store import KEEP, OUTPUT_BUDGET, Announced, Claim, Finish, Registered, codec
from relayq.store.scripts import Scripts


class WorkerCalls:
    """The worker's half of the contract, and the connection; `Store` says what each call does."""

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
        return {held[n - 1]: float(seconds) for n, seconds in in_rows(answer, 2)}

    def release(self, worker: str) -> None:
        self._rest(worker, "release")

    def _rest(self, worker: str, *said: str) -> None:
        if self._call("rest", worker, *said) == b"unknown":
            raise no_such(worker)

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
            stored={id.decode(): (int(out), int(err)) for id, out, err in in_rows(answer[2], 3)},
        )

    def append(self, held: Held, chunks: Sequence[Chunk]) -> None:
        said = codec.progress_to_text(held)
        args = [held.job, held.number, held.nonce, len(chunks), *_flat(chunks), *([said] if said else ())]
        if self._call("append", *args) == b"stale":
            raise StaleAttempt(f"attempt {held.number} of job {held.job} no longer counts")


def no_such(worker: str) -> NoSuchWorker:
    """The error for a worker nobody knows."""
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


def in_rows(flat: Sequence[Any], width: int) -> Iterator[tuple[Any, ...]]:
    """A flat answer as rows of so many."""
    return zip(*[iter(flat)] * width, strict=True)
