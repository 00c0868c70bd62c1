"""Records as JSON: what stands in Redis, and in `--json` output.

A job is two texts: its spec, which never changes, and its doc, everything else. The Lua scripts read and write the
doc, never the spec, so whatever a script needs of the spec (`_POLICY`) stands in the doc as well.
"""

from __future__ import annotations

import base64
import json
import math
from dataclasses import asdict, fields
from typing import Any

from relayq.model import (
    Attempt,
    Capability,
    Chunk,
    Event,
    Held,
    Job,
    JobSpec,
    OnLost,
    Outcome,
    Pause,
    Quarantine,
    Readings,
    Reason,
    Reprobe,
    State,
    WorkerInfo,
)
from relayq.placement import lane_for

_POLICY = ("priority", "retries", "retry_delay", "max_losses", "on_lost", "max_output_bytes", "queue_timeout", "prefer")
_DEFAULTS = JobSpec()
_TUPLES = frozenset({"needs", "prefer"})

Json = dict[str, Any]


def spec_to_json(spec: JobSpec) -> Json:
    """Only what differs from the defaults."""
    out: Json = {}
    for f in fields(JobSpec):
        value = getattr(spec, f.name)
        if value == getattr(_DEFAULTS, f.name):
            continue
        if isinstance(value, bytes):
            value = base64.b64encode(value).decode("ascii")
        elif isinstance(value, tuple):
            value = list(value)
        elif f.name in {"env", "params"}:
            value = dict(value)
        out[f.name] = value
    return out


def spec_from_json(data: Json) -> JobSpec:
    """The spec; fields of a newer release are ignored."""
    known = {k: v for k, v in data.items() if k in JobSpec.__dataclass_fields__}
    for name in _TUPLES & known.keys():
        known[name] = tuple(known[name])
    if isinstance(known.get("command"), list):
        known["command"] = tuple(known["command"])
    if "stdin" in known:
        known["stdin"] = base64.b64decode(known["stdin"])
    if "on_lost" in known:
        known["on_lost"] = OnLost(known["on_lost"])
    return JobSpec(**known)


def new_doc(id: str, spec: JobSpec, lane: str, retry_of: str | None = None, celery_id: str | None = None) -> str:
    """The doc of a job about to be submitted; the store adds times and place."""
    doc: Json = {"id": id, "lane": lane, "losses": 0, "failures": 0}
    for name in _POLICY:
        value = getattr(spec, name)
        if value is not None and value != ():
            doc[name] = value
    if retry_of:
        doc["retry_of"] = retry_of
    if celery_id:
        doc["celery_id"] = celery_id
    return dumps(doc)


def outcome_to_json(outcome: Outcome) -> Json:
    """Absent instead of null; the value as a text of its own, because Lua cannot tell [] from {}."""
    out: Json = {"reason": outcome.reason}
    for name in ("stdout_bytes", "stderr_bytes"):
        if count := getattr(outcome, name):
            out[name] = count
    for name in ("exit_code", "signal", "message"):
        if (value := getattr(outcome, name)) is not None:
            out[name] = value
    if outcome.duration is not None:
        out["duration"] = round(outcome.duration, 3)
    if outcome.value is not None:
        out["value"] = dumps(outcome.value)
    return out


def outcome_from_json(data: Json) -> Outcome:
    """The outcome of one attempt."""
    value = data.get("value")
    return Outcome(
        reason=Reason(data["reason"]),
        exit_code=data.get("exit_code"),
        signal=data.get("signal"),
        message=data.get("message"),
        stdout_bytes=data.get("stdout_bytes", 0),
        stderr_bytes=data.get("stderr_bytes", 0),
        duration=data.get("duration"),
        value=None if value is None else json.loads(value),
    )


def job_from_texts(spec: bytes | str, doc: bytes | str, known: JobSpec | None = None) -> Job:
    """A job from its two texts; `known` spares reading the spec where it is at hand."""
    data: Json = json.loads(doc)
    attempts = tuple(
        Attempt(
            number=a["number"],
            nonce=a["nonce"],
            worker=a["worker"],
            claimed_at=a["claimed_at"],
            offered_at=a.get("offered_at"),
            kept_until=a.get("kept_until"),
            ended_at=a.get("ended_at"),
            progress=a.get("progress"),
            note=a.get("note"),
            outcome=outcome_from_json(a["outcome"]) if "outcome" in a else None,
        )
        for a in data.get("attempts") or ()
    )
    reason = data.get("reason")
    what = known or spec_from_json(json.loads(spec))
    place = float(data["place"])
    return Job(
        id=data["id"],
        spec=what,
        state=State(data["state"]),
        lane=data.get("lane") or lane_for(what),
        submitted_at=data.get("submitted_at", math.floor(place * 1000) / 1000),
        place=place,
        attempts=attempts,
        not_before=data.get("not_before"),
        losses=data.get("losses", 0),
        failures=data.get("failures", 0),
        cancel_requested_at=data.get("cancel_requested_at"),
        ended_at=data.get("ended_at"),
        reason=Reason(reason) if reason else None,
        message=data.get("message"),
        retry_of=data.get("retry_of"),
        celery_id=data.get("celery_id"),
        output_dropped=data.get("output_dropped", False),
    )


def progress_to_text(held: Held) -> str:
    """How far an attempt is, for the scripts; empty if it has not said."""
    said = {name: value for name in ("progress", "note") if (value := getattr(held, name)) is not None}
    return dumps(said) if said else ""


def worker_to_text(info: WorkerInfo) -> str:
    """What a worker says of itself."""
    data = {f.name: getattr(info, f.name) for f in fields(info)}
    data["found"] = [{k: v for k, v in asdict(each).items() if v is not None} for each in info.found]
    return dumps(data)


def worker_from_text(text: bytes | str) -> WorkerInfo:
    """The worker; fields of a newer release are ignored."""
    data: Json = {k: v for k, v in json.loads(text).items() if k in WorkerInfo.__dataclass_fields__}
    for name in ("labels", "capabilities"):
        data[name] = tuple(data.get(name) or ())
    data["found"] = tuple(_capability(each) for each in data.get("found") or ())
    return WorkerInfo(**data)


def _capability(data: Json) -> Capability:
    return Capability(**{k: v for k, v in data.items() if k in Capability.__dataclass_fields__})


def pause_from_text(text: bytes, until: bytes, now: float) -> Pause | None:
    """Why a worker takes nothing new; None if it is not paused, or not any more."""
    if not text or (until and now >= float(until)):
        return None
    data: Json = json.loads(text)
    return Pause(
        since=data["since"],
        until=float(until) if until else None,
        draining=data.get("draining", False),
        by=data.get("by"),
        note=data.get("note"),
    )


def readings_to_text(readings: Readings) -> str:
    """What is known, short."""
    known = ((f.name, getattr(readings, f.name)) for f in fields(readings))
    return dumps({name: round(v, 3) if isinstance(v, float) else v for name, v in known if v is not None})


def readings_from_text(text: bytes) -> Readings:
    """How a machine is; fields of a newer release are ignored."""
    data: Json = json.loads(text) if text else {}
    return Readings(**{k: v for k, v in data.items() if k in Readings.__dataclass_fields__})


def event_from_row(entry: str, row: list[bytes]) -> Event:
    """An entry of the stream: its id begins with milliseconds."""
    said = {row[n].decode(): row[n + 1].decode() for n in range(0, len(row), 2)}
    rung = said.get("rung")
    return Event(
        job=said["job"],
        state=said["what"],
        worker=said["worker"],
        at=int(entry.partition("-")[0]) / 1000,
        lost="lost" in said,
        rung_for=float(rung) if rung else None,
    )


def beats_from_flat(flat: list[bytes]) -> tuple[dict[int, float], int | None]:
    """Quarter hour → seconds a worker was there; and the first of all."""
    beats = {flat[n].decode(): int(flat[n + 1]) for n in range(0, len(flat), 2)}
    since = beats.pop("since", None)
    return {int(quarter): milliseconds / 1000 for quarter, milliseconds in beats.items()}, since


def quarantine_from_text(text: bytes) -> Quarantine | None:
    """Why a worker is in quarantine."""
    if not text:
        return None
    data: Json = json.loads(text)
    return Quarantine(since=data["since"], why=data["why"])


def reprobe_from_text(text: bytes) -> Reprobe | None:
    """What a worker is asked to look for."""
    if not text:
        return None
    data: Json = json.loads(text)
    return Reprobe(since=data["since"], programs=tuple(data.get("programs", "").split()))


def chunk_from_bytes(element: bytes) -> Chunk:
    """A piece of output as the scripts keep it: `stream:offset:bytes`."""
    stream, offset, data = element.split(b":", 2)
    return Chunk(stream=int(stream), offset=int(offset), data=data)


def dumps(value: Any) -> str:
    """Compact JSON, the same text for the same value."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
