"""A broker, a worker and a server on this machine, started and stopped together; each knows by itself how to live."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from relayq import embedded, embedded_folder, processes
from relayq.cli import local_server
from relayq.cli.local_server import LocalServer
from relayq.client import open_store
from relayq.config import Settings, broker_url_file, mask
from relayq.errors import ConfigError, Refused, RelayqError
from relayq.store import Store

START_PATIENCE = 15.0  #: seconds until the worker must have joined
STOP_PATIENCE = 10.0  #: seconds for a worker, and for the broker, before they are killed
JOBS_GRACE = 5.0  #: seconds for all jobs, before they are killed
_LOOK_EVERY = 0.05
_LOG_LINES = 12


@dataclass(frozen=True, kw_only=True)
class Up:
    """What runs now."""

    broker: embedded.Broker
    worker: str
    pid: int
    slots: int
    started: bool  #: the worker was started by this call
    server: LocalServer | None = None
    no_server: str | None = None  #: why there is none


@dataclass(frozen=True, kw_only=True)
class Down:
    """What was stopped."""

    worker: str | None
    broker: bool
    server: bool
    ended_jobs: int  #: that ran, and wait again


@dataclass(frozen=True, kw_only=True)
class _Record:
    """The worker that `up` started, as up.json holds it."""

    pid: int
    token: str
    name: str
    slots: int

    @property
    def alive(self) -> bool:
        return processes.alive(self.pid, self.token)


def up(settings: Settings, *, port: int | None = None, slots: int | None = None) -> Up:
    """Start what does not run yet, and wait until the worker has joined.

    Raises Refused if another broker is configured, and RelayqError with the end of the worker's log if it does not
    join.
    """
    _check_ours(settings)
    home = settings.home.absolute()
    with _usable(home):
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(home):
        broker = embedded.start(home, port=port)
        server, no_server = _server(settings, home)
        record = _recorded(home)
        started = record is None or not record.alive
        if record is None or started:
            record = _start_worker(settings, home, slots or settings.slots)
            _await_joined(replace(settings, broker_url=broker.url), home, record)
        if server is not None and (no_server := local_server.await_answer(server, home)):
            server = None
        return Up(
            broker=broker,
            worker=record.name,
            pid=record.pid,
            slots=record.slots,
            started=started,
            server=server,
            no_server=no_server,
        )


def down(settings: Settings) -> Down:
    """Stop the worker, end its jobs and give them back, and stop the broker. What waits is kept for the next `up`."""
    home = settings.home.absolute()
    if not home.is_dir():
        return Down(worker=None, broker=False, server=False, ended_jobs=0)
    with _locked(home):
        record, broker = _recorded(home), embedded.running(home)
        if record is None and broker is None and local_server.running(home) is None:
            # Jobs that run here are then another worker's, whose broker is elsewhere.
            return Down(worker=None, broker=False, server=False, ended_jobs=0)
        served = local_server.stop(home)
        alive = record is not None and record.alive
        if record is not None and alive:
            processes.end(record.pid, record.token, STOP_PATIENCE)
        ended = _end_jobs(replace(settings, broker_url=broker.url if broker else None), home)
        stopped = embedded.stop(home, STOP_PATIENCE)
        _file(home).unlink(missing_ok=True)
        worker = record.name if record and alive else None
        return Down(worker=worker, broker=stopped, server=served, ended_jobs=ended)


def _check_ours(settings: Settings) -> None:
    if settings.broker_url and str(broker_url_file(settings.home)) not in settings.broker_source:
        raise Refused(
            f"the broker {mask(settings.broker_url)} is configured (from {settings.broker_source}), so none is started "
            "here. To work for that one: relayq worker"
        )


def _server(settings: Settings, home: Path) -> tuple[LocalServer | None, str | None]:
    """The server, or why there is none: everything else does without."""
    try:
        why_not = local_server.missing()
        return (None, why_not) if why_not else (local_server.running(home) or local_server.start(settings, home), None)
    except (ConfigError, OSError) as error:
        return None, str(error)


def _start_worker(settings: Settings, home: Path, slots: int) -> _Record:
    # The file bounds itself; what the interpreter says goes to the end of it.
    log = _log_file(settings, home)
    argv = [sys.executable, "-m", "relayq", "worker", "--restart", "--slots", str(slots), "--log-file", str(log)]
    with _usable(log.parent):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch(mode=0o600)
    spawned = processes.spawn_detached(argv, log, os.environ | {"RELAYQ_HOME": str(home)})
    record = _Record(pid=spawned.pid, token=spawned.token, name=settings.worker_name, slots=slots)
    text = json.dumps({"pid": record.pid, "token": record.token, "name": record.name, "slots": record.slots})
    embedded_folder.write(_file(home), f"{text}\n")
    return record


def _log_file(settings: Settings, home: Path) -> Path:
    return settings.log_file or home / "worker.log"


def _await_joined(settings: Settings, home: Path, record: _Record) -> None:
    log = _log_file(settings, home)
    start = log.stat().st_size
    deadline = time.monotonic() + START_PATIENCE
    with closing(open_store(settings, timeout=3.0)) as store:
        while not _joined(store, record):
            ended = not record.alive
            if ended or time.monotonic() >= deadline:
                what = "ended while starting" if ended else f"has not joined within {START_PATIENCE:g} s and goes on"
                if ended:
                    _file(home).unlink(missing_ok=True)
                said = embedded_folder.tail(log, max(0, start - 4096), _LOG_LINES)
                raise RelayqError(f"the worker {record.name} {what}. {log} ends:\n{said}")
            time.sleep(_LOOK_EVERY)


def _joined(store: Store, record: _Record) -> bool:
    # Its minder's pid tells it from a worker of the same name that ran here a moment ago.
    mine = (w for w in store.workers()[1] if w.online and w.info.name == record.name)
    return any(processes.parent(w.info.pid) == record.pid for w in mine)


def _end_jobs(settings: Settings, home: Path) -> int:
    from relayq.worker.ending import end_jobs, shut_down

    if settings.broker_url is None:
        ended = end_jobs(home, None, grace=JOBS_GRACE)
    else:
        with closing(open_store(settings, timeout=3.0)) as store:
            ended = end_jobs(home, store, grace=JOBS_GRACE)
    shut_down(home)
    return ended


def _recorded(home: Path) -> _Record | None:
    try:
        said = json.loads(embedded_folder.read(_file(home)) or "null")
        return _Record(pid=int(said["pid"]), token=said["token"], name=said["name"], slots=int(said["slots"]))
    except (ValueError, KeyError, TypeError):
        return None


def _file(home: Path) -> Path:
    return home / "up.json"


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """One `up` or `down` at a time; each has a bounded end, so there is no patience to lose."""
    with _usable(home):
        number = os.open(home / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(number) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _usable(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"cannot use {home} ({error.strerror}). Make it a folder you can write, or set RELAYQ_HOME to one"
        ) from error
