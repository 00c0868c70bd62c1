"""The supervisor: one thread and one loop over its clients, its jobs, their pipes and their timers."""

import itertools
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from relayq.supervisor import environment, family, outcome, requests, spawn, wire
from relayq.supervisor.cellar import Cellar
from relayq.supervisor.clock import awake, elapsed
from relayq.supervisor.connection import Connection
from relayq.supervisor.job import Job
from relayq.supervisor.output import Kept

_TICK = 1.0
_NEVER = float("inf")
_MAX_REPORTS = 100
_reports = itertools.count()
_LAST_WORDS = 1.0  # seconds that clients get, after a shutdown, to forget what they were told


class Supervisor:
    """Jobs, outcomes and clients. `run` returns when there is nothing left to do, or when told to."""

    def __init__(
        self,
        listener: socket.socket,
        cellar: Cellar,
        version: str,
        home_id: str,
        log: Callable[[str], None],
        linger: float,
    ) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener = listener
        self._cellar = cellar
        self._version = version
        self._log = log
        self._linger = linger
        self._jobs: dict[str, Job] = {}
        self._by_pid: dict[int, Job] = {}
        self._outcomes: dict[str, outcome.Outcome] = {}
        self._home_id = home_id
        self._orphans = family.Orphans(home_id)
        self._connections: set[Connection] = set()
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._tick_at = awake()
        self._lonely_since = awake()
        self._closing: str | None = None
        self._close_at = _NEVER
        self._accept_at = _NEVER  # accepting is paused until then
        self._wakeup, self._wakeup_end = os.pipe()
        for fd in (self._wakeup, self._wakeup_end):
            os.set_blocking(fd, False)

    def run(self, keeper: int | None) -> None:
        """The loop. `keeper` reads end-of-file when the keeper dies."""
        signal.set_wakeup_fd(self._wakeup_end, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        self._selector.register(self._wakeup, selectors.EVENT_READ, self._signalled)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        if keeper is None:
            self._cellar.note_at_once = True
        else:
            self._selector.register(keeper, selectors.EVENT_READ, self._keeper_died)
        for found in self._cellar.load(awake()):
            self._outcomes[found.key] = found
        while not self._done():
            now = awake()
            wake_at = min([job.wake_at for job in self._jobs.values()], default=_NEVER)
            wake_at = min(wake_at, self._tick_at, self._accept_at)
            events = self._selector.select(None if wake_at == _NEVER else max(0.0, wake_at - now))
            for key, mask in events:
                try:
                    key.data(key.fd, mask)
                except Exception:  # noqa: BLE001 - one job's or client's trouble must not end the others'
                    _report()
            self._run_timers(awake())
        self._cellar.note(self._jobs, awake())
        self._cellar.keep(self._outcomes, awake(), everything=True)

    # What clients ask (requests.Doer).

    def hello(self, connection: Connection, protocol: int, version: str, env: dict[str, str]) -> None:
        """Greets, or says why not."""
        if protocol != wire.PROTOCOL:
            sentence = (
                f"the supervisor (relayq {self._version}) speaks protocol {wire.PROTOCOL}, "
                f"relayq {version} speaks {protocol}: let its jobs end, or run `relayq down`"
            )
            connection.send(wire.frame({"op": "refused", "error": sentence}))
            connection.close()
            return
        connection.greeted = True
        connection.env = environment.without_secrets(env)
        if version == self._version:
            self._cellar.say_current()
        for found in self._cellar.take_over(awake()):
            self._outcomes.setdefault(found.key, found)
        connection.send(
            wire.frame({"op": "hello", "protocol": wire.PROTOCOL, "version": self._version, "pid": os.getpid()})
        )

    def start(self, connection: Connection, key: str, order: dict[str, Any], stdin: bytes | None) -> None:
        """Starts an attempt once; asked again, attaches to it."""
        if key in self._jobs or key in self._outcomes:
            self.attach(connection, key, [0, 0, 0])
            return
        self._reap()  # a start takes as long as a short job: say first who has ended
        wall = time.time()
        try:
            if self._closing is not None:
                raise spawn.NotStarted("the supervisor is shutting down", "machine")
            if order["freeze"] and order["deadline"] is not None and elapsed() >= order["deadline"]:
                raise spawn.NotStarted("its lease was over before it could begin", "late")
            env = environment.job_environment(connection.env, order["env"], key, self._home_id)
            child = spawn.start(order["argv"], env, order["cwd"], stdin, self._null)
        except spawn.NotStarted as error:
            kept = Kept(0)
            reason = "worker_stopped" if error.fault == "late" else "not_started"
            header = outcome.exit_header(
                key, reason, kept, error=str(error), fault=error.fault, started_at=wall, ended_at=wall
            )
            self._outcomes[key] = outcome.Outcome(header, kept, awake(), None)
            self.attach(connection, key, [0, 0, 0])
            self._need_tick(awake())
            return
        now = awake()
        job = Job(
            key, child, order, now, wall,
            selector=self._selector, relatives=self._relatives, ended=self._ended,
        )  # fmt: skip
        job.delivery.session = connection
        connection.attached.add(key)
        self._jobs[key] = self._by_pid[child.pid] = job
        if self._cellar.note_at_once:
            self._cellar.note(self._jobs, now)
        self._need_tick(now)

    def attach(self, connection: Connection, key: str, offsets: list[int]) -> None:
        """Sends an attempt's output and end to this connection from now on."""
        job = self._jobs.get(key)
        ended = self._outcomes.get(key)
        if job is not None:
            self._detach(job.delivery.session, key)
            job.delivery.session, job.delivery.sent = connection, offsets
            connection.attached.add(key)
            job.deliver(awake())
        elif ended is not None:
            self._detach(ended.session or ended.told, key)
            connection.attached.add(key)
            ended.attach(connection, offsets, self._cellar.shelf)
        else:
            header = outcome.exit_header(key, "unknown", Kept(0), error=f"there is no attempt {key} here")
            connection.send(wire.frame(header))

    def stop(self, key: str, reason: str, grace: float | None) -> None:
        """Ends a job, unless it has ended by itself."""
        self._reap()
        if (job := self._jobs.get(key)) is not None:
            job.stop(reason, grace, awake())

    def freeze(self, key: str) -> None:
        """Stops a job where it stands."""
        if (job := self._jobs.get(key)) is not None:
            job.freeze(awake())

    def thaw(self, key: str) -> None:
        """Lets a frozen job go on."""
        if (job := self._jobs.get(key)) is not None:
            job.thaw(awake())

    def renew(self, key: str, at: float | None, *, thaw: bool) -> None:
        """Moves a job's deadline."""
        if (job := self._jobs.get(key)) is not None and (thaw or not job.deadline_passed()):
            job.renew(at, awake())

    def forget(self, key: str) -> None:
        """The outcome was delivered."""
        found = self._outcomes.pop(key, None)
        if found is not None:
            self._detach(found.session or found.told, key)
            if found.on_shelf:
                self._cellar.shelf.forget(key)

    def tell(self, connection: Connection) -> None:
        """Everything known."""
        for found in self._cellar.take_over(awake()):
            self._outcomes.setdefault(found.key, found)
        jobs = [job.state() for job in self._jobs.values()]
        ended = [found.state() for found in self._outcomes.values()]
        connection.send(wire.frame({"op": "list", "jobs": jobs + ended}))

    def shut_down(self, reason: str, grace: float | None) -> None:
        """Ends all jobs, then the loop."""
        self._reap()
        self._closing = reason
        now = awake()
        for job in list(self._jobs.values()):
            job.stop(reason, grace, now)
        self._need_tick(now)

    # What happens.

    def _accept(self, _fd: int, _events: int) -> None:
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:  # no descriptor is free: try again when one may be
            self._log(f"cannot accept a client: {error.strerror}")
            self._selector.unregister(self._listener)
            self._accept_at = awake() + 0.2
            return
        self._connections.add(
            Connection(
                sock, self._selector,
                handle=lambda *frame: requests.serve(self, *frame), room=self._has_room, closed=self._hung_up,
            )
        )  # fmt: skip

    def _hung_up(self, connection: Connection) -> None:
        self._connections.discard(connection)
        for key in connection.attached:
            job = self._jobs.get(key)
            if job is not None and job.delivery.session is connection:
                job.delivery.session = None
            elif key in self._outcomes:
                self._outcomes[key].detach(connection)
        self._lonely_since = awake()
        self._need_tick(self._lonely_since)

    def _has_room(self, connection: Connection) -> None:
        for key in list(connection.attached):
            if key in self._jobs:
                self._jobs[key].deliver(awake())
            elif key in self._outcomes:
                self._outcomes[key].deliver()

    def _detach(self, session: object, key: str) -> None:
        if isinstance(session, Connection):
            session.attached.discard(key)

    def _signalled(self, fd: int, _events: int) -> None:
        numbers = os.read(fd, 512)
        if signal.SIGTERM in numbers:
            # The machine goes down: what ends now is to be given back, it did not end by itself.
            self.shut_down("supervisor_lost", None)
        self._reap()

    def _keeper_died(self, fd: int, _events: int) -> None:
        self._selector.unregister(fd)
        self._log("the keeper died; from now on jobs are noted on disk when they start")
        self._cellar.note_at_once = True
        self._cellar.note(self._jobs, awake())

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            job = self._by_pid.pop(pid, None)
            if job is None:
                self._orphans.gone(pid)
            elif self._jobs.get(job.key) is job:
                job.main_ended(status, awake(), time.time())

    def _relatives(self, job: Job) -> list[int]:
        self._orphans.look(self._by_pid, self._jobs)
        return self._orphans.of(job.key, self._jobs)

    def _ended(self, job: Job, found: outcome.Outcome) -> None:
        del self._jobs[job.key]
        self._outcomes[job.key] = found
        session = job.delivery.session
        if session is not None:
            found.attach(session, job.delivery.sent, self._cellar.shelf)
        self._cellar.outcome_kept(self._outcomes, found)

    # Time.

    def _run_timers(self, now: float) -> None:
        for job in [job for job in self._jobs.values() if job.wake_at <= now]:
            try:
                job.tick(now)
            except Exception:  # noqa: BLE001 - as above
                _report()
                job.wake_at = now + _TICK
        if now >= self._accept_at:
            self._accept_at = _NEVER
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        if now >= self._tick_at:
            self._tick_at = _NEVER
            self._orphans.look(self._by_pid, self._jobs)
            strays = self._orphans.strays(self._jobs)
            if strays:
                family.signal_family(None, strays, signal.SIGKILL)
            busy = self._cellar.keep(self._outcomes, now)
            self._cellar.note(self._jobs, now)
            if busy or strays or self._jobs or self._closing is not None or not self._connections:
                self._need_tick(now)

    def _need_tick(self, now: float) -> None:
        if self._tick_at == _NEVER:
            self._tick_at = now + (0.05 if self._closing is not None else _TICK)

    def _done(self) -> bool:
        if self._jobs:
            return False
        now = awake()
        if self._closing is not None:
            if self._close_at == _NEVER:
                self._close_at = now + _LAST_WORDS
            unsure = any(found.session or found.told for found in self._outcomes.values())
            return not unsure or now >= self._close_at
        if self._connections or (self._outcomes and not self._cellar.is_homeless()):
            return False
        lonely = now - self._lonely_since
        return lonely >= self._linger or (lonely >= 1.0 and self._cellar.is_superseded())


def _report() -> None:
    # To the log; the module traceback would cost memory. A trouble that comes every second is soon known.
    if next(_reports) < _MAX_REPORTS:
        sys.excepthook(*sys.exc_info())
