"""Submits jobs and follows them: what `relayq.job` is."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from relayq import monitoring, placement
from relayq.config import Settings, load
from relayq.errors import AmbiguousJob, BadSpec, BrokerRefused, BrokerUnavailable, NoSuchWorker, UnknownJob
from relayq.following import Watcher
from relayq.forecast import Forecast, foresee
from relayq.handle import Completed, JobHandle
from relayq.model import Job, JobSpec
from relayq.routes import lane_of
from relayq.spec import LAST, check_id, make_spec
from relayq.store import NewJob, Unserved

if TYPE_CHECKING:
    from relayq.store import Store

BATCH = 500  #: jobs a call: 1000 jobs take two round trips
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id() -> str:
    """Twelve letters and digits that nobody else has chosen (60 random bits)."""
    bits = int.from_bytes(os.urandom(8), "big")
    return "".join(_ALPHABET[bits >> shift & 31] for shift in range(0, 60, 5))


class Client:
    """The machines you own, as one. Connects on first use; safe to share between threads.

    >>> from relayq import job
    >>> job.run("echo hello").get(timeout=10)
    'hello\\n'
    """

    def __init__(self, settings: Settings | None = None, store: Store | None = None) -> None:
        self._settings = settings
        self._store = store
        self._lock = threading.Lock()
        self._watcher: Watcher | None = None

    # ── submitting ──

    def run(
        self,
        command: str | Sequence[str] | None = None,
        cwd: str | None = None,
        worker: str | None = None,
        *,
        on: str | None = None,
        needs: Iterable[str] | None = None,
        prefer: Iterable[str] | None = None,
        env: dict[str, str] | None = None,
        stdin: bytes | str | None = None,
        script: str | None = None,
        name: str | None = None,
        timeout: float | None = None,
        queue_timeout: float | None = None,
        retries: int | None = None,
        retry_delay: float | None = None,
        priority: int | None = None,
        on_lost: str | None = None,
        freeze: bool | None = None,
        max_losses: int | None = None,
        max_output_bytes: int | None = None,
        kill_grace: float | None = None,
        queue_anyway: bool = False,
        id: str | None = None,
    ) -> JobHandle:
        """Run a command on the right machine.

        A str is given to `/bin/sh -c`, a list is the exact argv; `script` is a program text run by its `#!` line or
        by `/bin/sh`. `on` (1.x: `worker`) names the machine, `needs` what it must have; both refuse at once if no
        known worker fits, unless `queue_anyway`. Times are seconds. The same `id` again is the same job.

        Raises BadSpec, NoSuchWorker, StoreFull, IdTaken, BrokerUnavailable (after `submit_patience`).
        """
        spec = make_spec(
            command,
            on=_one_worker(on, worker),
            cwd=cwd,
            needs=needs,
            prefer=prefer,
            env=env,
            stdin=stdin,
            script=script,
            name=name,
            timeout=timeout,
            queue_timeout=queue_timeout,
            retries=retries,
            retry_delay=retry_delay,
            priority=priority,
            on_lost=on_lost,
            freeze=freeze,
            max_losses=max_losses,
            max_output_bytes=max_output_bytes,
            kill_grace=kill_grace,
        )
        return self.submit([spec], queue_anyway=queue_anyway, ids=[id] if id is not None else None)[0]

    def run_on(self, name: str, command: str | Sequence[str], cwd: str | None = None, **options: Any) -> JobHandle:
        """Run a command on the worker called `name`."""
        return self.run(command, cwd, on=name, **options)

    def run_on_mac(self, command: str | Sequence[str], cwd: str | None = None, **options: Any) -> JobHandle:
        """Run a command on a worker labelled `mac` (every Mac is)."""
        return self.run(command, cwd, **_with_need(options, "mac"))

    def run_on_rpi(self, command: str | Sequence[str], cwd: str | None = None, **options: Any) -> JobHandle:
        """Run a command on a worker labelled `rpi` (every Raspberry Pi is)."""
        return self.run(command, cwd, **_with_need(options, "rpi"))

    def transcode(
        self,
        input: str,
        output: str,
        options: str | None = None,
        *,
        preset: str | None = None,
        codec: str | None = None,
        **more: Any,
    ) -> JobHandle:
        """Convert a video with ffmpeg on a machine that has it; both paths are the worker's.

        `preset` is "quality" (the default; libx264 or libx265) or "fast" (the machine's hardware, if it has some),
        `codec` "h264" (the default) or "h265"; or `options` goes to ffmpeg exactly, between input and output. The
        output takes its name when it is complete. The value is {"status": "success", "output": output, "input_bytes",
        "output_bytes", "duration", "video_codec", "audio_codec", "encoder"}. `more` are the options of `run`.
        """
        params = {"input": input, "output": output, "options": options, "preset": preset, "codec": codec}
        return self._submit_kind("transcode", params, more)

    def transcribe(
        self,
        audio: str,
        model: str | None = None,
        *,
        output: str | None = None,
        format: str | None = None,
        language: str | None = None,
        engine: str | None = None,
        **more: Any,
    ) -> JobHandle:
        """Turn the speech in a file into text, on a machine that has an engine for it; paths are the worker's.

        `format` is "txt" (the default), "srt", "vtt" or "json"; the value is the transcript in that format, and stands
        in `output` as well if that is named. `model` is Whisper's ("base"), `language` a code such as "de" (default: it
        is found out), `engine` one of `relayq.params.ENGINES` (default: the best there). `more` are the options of
        `run`.
        """
        params = {"input": audio, "output": output, "model": model, "language": language}
        return self._submit_kind("transcribe", {**params, "format": format, "engine": engine}, more)

    def map(self, commands: Iterable[str | Sequence[str]], **options: Any) -> list[JobHandle]:
        """Run many commands with the same options; 500 jobs a round trip. Handles in the order of the commands."""
        anyway = options.pop("queue_anyway", False)
        if isinstance(commands, str):
            raise BadSpec("map takes a list of commands; for a single one use run")
        return self.submit([make_spec(command, **options) for command in commands], queue_anyway=anyway)

    def submit(
        self, specs: Sequence[JobSpec], *, queue_anyway: bool = False, ids: Sequence[str] | None = None
    ) -> list[JobHandle]:
        """Queue jobs by their specs. Raises as `run`."""
        names = [check_id(id) for id in ids] if ids else [new_id() for _ in specs]
        jobs = [
            NewJob(id=id, spec=spec, lane=lane_of(spec, self.settings.routes), anyway=queue_anyway)
            for id, spec in zip(names, specs, strict=True)
        ]
        handles = self._submit(jobs)
        if ids:  # a job that was there before tells the inbox of whoever submitted it first
            with suppress(BrokerUnavailable):  # queued it is; who waits for it asks again
                self.watcher.watch(names)
        return handles

    def retry(self, id: str) -> JobHandle:
        """A new job that asks for the same as job `id`. Raises UnknownJob and as `run`."""
        old = self.get(id).job()
        new = NewJob(id=new_id(), spec=old.spec, lane=old.lane, anyway=True, retry_of=old.id)
        return self._submit([new])[0]

    # ── looking ──

    def get(self, id: str) -> JobHandle:
        """A handle again, from any process or machine; the first letters of the id, or "last", will do.

        Raises UnknownJob, AmbiguousJob, BrokerUnavailable.
        """
        if id == LAST:
            page = self.store.page(limit=1)
            if not page:
                raise UnknownJob("there is no job yet. Start one with: relayq run -- echo hello")
            return JobHandle(self, page[0].id)
        found = self.store.find(check_id(id))
        if not found:
            raise UnknownJob(f"no job has the id {id}: finished jobs are kept for a week. See: relayq list")
        if id not in found and len(found) > 1:
            raise AmbiguousJob(f"several jobs' ids begin with {id}: {', '.join(found)} … Give more letters")
        return JobHandle(self, id if id in found else found[0])

    def as_completed(self, handles: Iterable[JobHandle], timeout: float | None = None) -> Iterator[JobHandle]:
        """The handles in the order their jobs end, each job once, however often it is given.

        `timeout` counts from this call: then ResultTimeout is raised. Threads may share the iterator.
        """
        return Completed(self, handles, timeout)

    def foresee(self, command: str | Sequence[str] | None = None, **options: Any) -> Forecast:
        """Where a command would run, machine by machine, with reasons; the options are those of `run`. Submits nothing.

        Raises BadSpec, BrokerUnavailable.
        """
        options.pop("queue_anyway", None), options.pop("id", None)
        options["on"] = _one_worker(options.get("on"), options.pop("worker", None))
        return self.foresee_spec(make_spec(command, **options))

    def foresee_spec(self, spec: JobSpec) -> Forecast:
        """As `foresee`, for a spec."""
        now, workers = self.store.workers()
        return foresee(spec, lane_of(spec, self.settings.routes), workers, now)

    def worker_status(self) -> monitoring.WorkerStatus:
        """All workers, as a dict that prints as a table; with the broker away {"online": False, "error": …}."""
        try:
            return monitoring.worker_status(self.store)
        except BrokerUnavailable as error:
            return monitoring.away(error)

    # ── underneath ──

    @property
    def settings(self) -> Settings:
        """Where the broker is and what else is configured; read on first use."""
        with self._lock:
            if self._settings is None:
                self._settings = load()
            return self._settings

    @property
    def store(self) -> Store:
        """The store at the configured broker. Raises BrokerUnavailable if none is configured."""
        settings = self.settings
        with self._lock:
            if self._store is None:
                self._store = open_store(settings)
            return self._store

    @property
    def watcher(self) -> Watcher:
        """Waits for all handles of this client."""
        keep = self.settings.keep
        with self._lock:
            if self._watcher is None:
                self._watcher = Watcher(lambda: self.store, f"c-{new_id()}", keep=keep)
            return self._watcher

    def _submit_kind(self, kind: str, params: dict[str, Any], options: dict[str, Any]) -> JobHandle:
        anyway, id = options.pop("queue_anyway", False), options.pop("id", None)
        options["on"] = _one_worker(options.get("on"), options.pop("worker", None))
        spec = make_spec(None, kind=kind, params=params, **options)
        return self.submit([spec], queue_anyway=anyway, ids=[id] if id is not None else None)[0]

    def _submit(self, jobs: Sequence[NewJob]) -> list[JobHandle]:
        watcher = self.watcher
        expected = watcher.expect(jobs)
        for start in range(0, len(jobs), BATCH):
            began = time.time()
            try:
                submitted = self._patiently(jobs[start : start + BATCH], watcher.inbox)
            except BaseException:
                watcher.not_submitted(expected[start:])
                raise
            watcher.submitted(expected[start : start + BATCH], began)
            for known in submitted:
                if known.state.ended:  # it was there before
                    watcher.note(known)
        return [JobHandle(self, watched.id, watched) for watched in expected]

    def _patiently(self, batch: Sequence[NewJob], inbox: str) -> list[Job]:
        """Submit; a broker that does not answer is asked again with the same ids, for `submit_patience` seconds."""
        give_up = time.monotonic() + self.settings.submit_patience
        said = False
        while True:
            try:
                return submit_served(self.store, batch, inbox)
            except BrokerRefused:
                raise
            except BrokerUnavailable as error:
                left = give_up - time.monotonic()
                if left <= 0:
                    raise
                if not said:
                    sys.stderr.write(f"relayq: {error}. Trying again for {left:.0f} s …\n")
                    said = True
                time.sleep(min(0.5, left))


def submit_served(store: Store, batch: Sequence[NewJob], inbox: str | None = None) -> list[Job]:
    """Submit; for requirements the store has not met before, say which workers meet them. Raises NoSuchWorker."""
    try:
        return store.submit(batch, inbox=inbox)
    except Unserved as unserved:
        workers = [state.info for state in store.workers()[1]]
        for lane in unserved.lanes:
            able = [worker for worker in workers if placement.eligible(worker, lane)]
            if not able and placement.requirement(lane) != (None, ()):
                from relayq.kinds.advice import advised

                spec = next(new.spec for new in batch if new.lane == lane)
                raise NoSuchWorker(advised(placement.refusal(workers, lane), spec)) from None
            for worker in able:
                store.serve(worker.name, [lane], all=False, lacks={lane: placement.rule_lacks(worker, lane)})
        # A rule alone is no requirement: such a job waits for the first worker, as any other does.
        batch = [replace(new, anyway=new.anyway or new.lane in unserved.lanes) for new in batch]
        return store.submit(batch, inbox=inbox)


def open_store(settings: Settings, *, timeout: float = 4.0) -> Store:
    """The store at the configured broker; connects when it is used. Raises BrokerUnavailable if none is configured."""
    from relayq.store.redis import RedisStore

    if settings.broker_url is None:
        raise BrokerRefused(
            "no broker is configured. Start one on this machine with: relayq up; or name one: "
            "export RELAYQ_BROKER_URL=redis://:PASSWORD@HOST:6379/0"
        )
    return RedisStore(
        settings.broker_url,
        lease_floor=settings.lease_floor,
        keep=settings.keep,
        output_budget=settings.output_budget_bytes,
        timeout=timeout,
    )


def _one_worker(on: str | None, worker: str | None) -> str | None:
    if None not in (on, worker) and on != worker:
        raise BadSpec(
            f"on={on!r} and worker={worker!r} name two workers: give one of them (worker is on's name in 1.x)"
        )
    return worker if on is None else on


def _with_need(options: dict[str, Any], need: str) -> dict[str, Any]:
    needs = options.get("needs") or ()
    return {**options, "needs": [*([needs] if isinstance(needs, str) else needs), need]}
