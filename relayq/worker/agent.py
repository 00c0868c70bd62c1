"""A worker's life: it registers, answers rings, and lets go of what runs when it is told to stop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from relayq.client import submit_served
from relayq.config import Settings
from relayq.errors import BrokerRefused, BrokerUnavailable, Replaced
from relayq.lifecycle import freeze_margin, pulse_interval, term_without_broker
from relayq.model import Bell, Held, JobSpec, Pulse
from relayq.routes import lane_of
from relayq.store import Claim, NewJob, Registered, Store
from relayq.supervisor.messages import SessionClosed, SupervisorError
from relayq.worker import attempt, awake, ending, facts, readings, selftest, workspace
from relayq.worker.answers import LOOK_EVERY, PREFIX, Answers, Write
from relayq.worker.chores import Chore, Chores
from relayq.worker.cpu import CpuWatch
from relayq.worker.hearing import Hearing
from relayq.worker.holding import Holding, held_of, key_of
from relayq.worker.identity import HomeLock, identity
from relayq.worker.looking import Looking
from relayq.worker.offering import Offering
from relayq.worker.pulse import Pulser
from relayq.worker.reporting import LetGo, Reporter
from relayq.worker.sessions import Sessions, give_time, prolong_all

log = logging.getLogger("relayq.worker")

T = TypeVar("T")
GOODBYE = 2.0  #: seconds that saying goodbye to the store may take
TEST_EVERY = 5.0  #: seconds between two self-tests in quarantine
LINGER = 2.0  #: seconds that a worker waits for a second Ctrl-C


class Agent:
    """One a process.

    `open_store` makes a store with the given timeout; `write_answer` puts a 1.x answer where its client looks for it;
    `replaced` ends this process, `relaunch` puts another in its place.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        name: str,
        slots: int,
        open_store: Callable[[float], Store],
        write_answer: Write,
        replaced: Callable[[], None],
        relaunch: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._lock = HomeLock(settings.home, name)
        self._looking = Looking(settings.home, settings.programs)
        self._info = facts.describe(
            name=name,
            identity=identity(settings.home),
            slots=slots,
            labels=settings.labels,
            home=settings.home,
            found=self._looking.recall(),
        )
        self._offering = Offering(self._info)
        self._routes = settings.routes
        self._store = open_store(5.0)
        self._pulse_store = open_store(2.0)
        self._answers = Answers(self._store, write_answer)
        self._on_replaced = replaced
        self._relaunch = relaunch
        self._stopping = threading.Event()
        self._starting = threading.Lock()
        self._gone = threading.Event()
        self._jobs_ended = threading.Event()
        self._lingers = False
        self._holding = Holding(self._displaced)
        self._reporter = Reporter(
            self._store,
            name,
            self._info.incarnation,
            self._holding,
            self._stopping,
            self._job_ended,
            self.pulse_now,
        )
        self._sessions = Sessions(settings.home)
        self._tools = attempt.Tools(
            settings.home,
            self._holding,
            self._reporter,
            self._sessions,
            self.pulse_now,
            lambda: facts.machine(self._offering.info),
            freeze_margin(settings.lease_floor),
        )
        self._pulser: Pulser | None = None
        self._chores: Chores | None = None
        self._bridge = Chores(Chore(pulse_interval(settings.lease_floor), self._keep_what_runs))
        self._hearing = Hearing(slots)
        self._quarantined = False
        self._readings = readings.ReadingsWatch(settings.home)
        self._cpu = CpuWatch(settings.home, settings.cpu_threshold) if settings.cpu_threshold else None

    # ── life ──

    def check_broker(self) -> None:
        """Raise BrokerRefused if starting is no use; a broker that is away is waited for.

        Meanwhile what an earlier worker left running here goes on, as far as a worker that is there would let it.
        """
        try:
            self._store.lanes()
        except BrokerRefused:
            raise
        except BrokerUnavailable as error:
            log.warning("%s", error)
        self._bridge.start()  # the broker may go away before the first pulse, too

    def start(self, bell: Bell) -> None:
        """Register, take back what runs here, and begin to look for work. Waits for a broker that is away."""
        running = [held_of(state.key) for state in self._until_supervised(lambda: list(self._sessions.known()))]
        registered = self._until_answered(lambda: self._register(bell, running))
        version = registered.lanes_version
        self._until_answered(lambda: self._offering.serve(self._store, registered.lanes, version))
        for held in running:
            if held in registered.adopted:
                self._adopt(held)
            else:
                self._discard(held)
        self._sweep_workspaces(running)
        pulser = Pulser(
            self._pulse_store,
            self._offering,
            self._holding,
            lease_floor=self._settings.lease_floor,
            store_now=registered.now,
            lanes_version=version,
            sessions=self._sessions,
            replaced=self._replaced,
            answered=self._answered,
            held_back=lambda: self._cpu.reason if self._cpu else None,
            readings=self._readings.take,
        )
        chores = [Chore(LOOK_EVERY, self._answers.overdue), Chore(TEST_EVERY, self._test_if_quarantined)]
        chores.append(Chore(readings.LOOK_EVERY, self._readings.look))
        if self._cpu is not None:
            chores.append(Chore(pulse_interval(self._settings.lease_floor), self._cpu.look))
        if caffeinate := awake.program():
            chores.append(Chore(awake.LOOK_EVERY, awake.Awake(caffeinate, lambda: bool(self._holding.all())).look))
        with self._starting:
            if self._stopping.is_set():  # told to stop while it registered: it has said goodbye too early
                return self._say_goodbye(running)
            self._pulser, self._chores = pulser, Chores(*chores)
            pulser.start()
            self._bridge.stop()
            self._chores.start()
            self._looking.start(self._store, self._offering)
        log.info("worker %s is ready: %s slots, labels %s", self._info.name, self._info.slots, self._info.labels)
        return None

    def _register(self, bell: Bell, running: Sequence[Held]) -> Registered:
        now, _ = self._store.workers()
        return self._store.register(self._info, bell, running, said_at=now)

    def ring(self) -> None:
        """There is work: claim jobs and run them one after another until nothing is left. Called in a slot's thread."""
        self._hearing.heard()
        try:
            self._work(None if self._stopping.is_set() else self._reporter.claim())
        except (LetGo, SessionClosed):
            return
        except SupervisorError as error:
            log.error("no supervisor: %s", error)
            self._sessions.drop()

    def _work(self, claim: Claim | None) -> None:
        while claim is not None:
            claim = attempt.run(claim, self._tools)
        self._sessions.pause()

    def pulse_now(self) -> None:
        """Something concerns a running attempt."""
        if self._pulser is not None:
            self._pulser.now()

    def submit_for_celery(self, task_id: str, spec: JobSpec, *, anyway: bool) -> None:
        """Make a 1.x task a job, which holds no slot while it waits; its answer is written when it ends.

        Raises NoSuchWorker, unless `anyway`, and what else the store refuses.
        """
        lane = lane_of(spec, self._routes)
        job = NewJob(id=f"{PREFIX}{task_id}", spec=spec, lane=lane, anyway=anyway, celery_id=task_id)
        self._until_answered(lambda: submit_served(self._store, [job]))

    def stop(self, *, end_jobs: bool = False, interrupted: bool = False) -> None:
        """Let go: slots return, jobs run on under the supervisor, the store keeps them for the next worker.

        With `end_jobs` (also after a first call) the jobs are ended and given back. `interrupted` from a terminal,
        the worker stays a moment longer for that second Ctrl-C.
        """
        if not self._stopping.is_set():
            left = len(self._holding.all())
            self._lingers = interrupted and left > 0
            log.info("stopping; %s without this worker", "1 job goes on" if left == 1 else f"{left} jobs go on")
            if self._lingers:
                log.info("press Ctrl-C again within %.0f s to end them", LINGER)
            self._let_go()
        if end_jobs:
            ended = ending.end_jobs(self._settings.home, self._pulse_store, grace=1.0)
            log.info("ended %s jobs; they are waiting again", ended)
            self._jobs_ended.set()

    def linger(self) -> None:
        """Called last: until goodbye has been said; and for the second Ctrl-C, if there is something to end."""
        self._gone.wait(GOODBYE)
        if self._lingers:
            self._jobs_ended.wait(LINGER)

    def _let_go(self) -> None:
        held = set(self._holding.all())  # before the slots let go of it
        self._stopping.set()
        self._bridge.stop()
        held.update(self._holding.all())
        self._sessions.interrupt()
        self._looking.stop()
        if self._chores is not None:
            self._chores.stop()
        with self._starting:
            if self._pulser is not None:
                # A pulse on its way would say that we are still there.
                self._pulser.stop()
                if self._pulser is not threading.current_thread():
                    self._pulser.join(GOODBYE)
            self._say_goodbye(list(held))
        self._lock.release()
        self._gone.set()

    def _say_goodbye(self, held: Sequence[Held]) -> None:
        try:
            kept = self._pulse_store.leave(self._info.name, self._info.incarnation, held)
        except (BrokerUnavailable, Replaced) as error:
            log.warning("left without saying goodbye: %s", error)
            return
        # The store keeps them for the next worker, so they need not stop meanwhile. (Not so what is another's by now.)
        margin = freeze_margin(self._settings.lease_floor)
        try:
            give_time(self._settings.home, {key_of(h): seconds - margin for h, seconds in kept.items()})
        except SupervisorError as error:
            log.warning("no supervisor: %s", error)

    # ── what the store answers to a pulse ──

    def _answered(self, answer: Pulse) -> None:
        self._quarantined = answer.quarantined is not None
        if answer.reprobe is not None:
            self._looking.ask(answer.reprobe)
        if self._hearing.is_deaf(answer.unheard, len(self._holding.all())) and not self._stopping.is_set():
            log.error("rings are not heard any more; starting anew (jobs go on)")
            self._relaunch()

    def _test_if_quarantined(self) -> None:
        if not self._quarantined:
            return
        try:
            trouble = selftest.trouble(self._settings.home, self._sessions.mine())
        except SupervisorError as error:
            self._sessions.drop()
            trouble = str(error)
        if trouble:
            log.error("in quarantine: the self-test failed", extra={"trouble": trouble})
        else:
            self._store.release(self._info.name)
            log.info("out of quarantine: the self-test went well")

    # ── adopting ──

    def _adopt(self, held: Held) -> None:
        # Before the first pulse, which would give back what it does not list.
        self._holding.add(held)
        thread = threading.Thread(target=self._attend, args=(held,), name=f"relayq-adopted-{held.job}", daemon=True)
        thread.start()

    def _attend(self, held: Held) -> None:
        try:
            with self._holding.of(held):
                [job] = self._until_answered(lambda: self._store.get([held.job]))
                if job is None:
                    return self._discard(held)
                self._holding.add(held, job)
                # Held until its supervisor answers: it runs, whether we hear of it or not.
                self._until_supervised(lambda: self._sessions.of(key_of(held)).attach(key_of(held)))
                claim = attempt.attend(held, job.spec, self._tools)
            self._work(claim)
        except (LetGo, SessionClosed):
            return None
        except SupervisorError as error:
            log.error("no supervisor: %s", error)
            self._sessions.drop()
        return None

    def _keep_what_runs(self) -> None:
        """Until the first pulse can do so: while there is no broker, no job can be given away (P5)."""
        try:
            self._pulse_store.lanes()
        except BrokerUnavailable as error:
            if error.serves_nobody:
                with suppress(SupervisorError):  # tried again at the next turn
                    prolong_all(self._settings.home, term_without_broker(self._settings.lease_floor))

    def _displaced(self, held: Held) -> None:
        """The store has begun another attempt at the same job, and given it to us."""
        try:
            self._discard(held)
        except SupervisorError as error:
            log.error("a superseded process was not ended: %s", error)

    def _discard(self, held: Held) -> None:
        """A process whose attempt no longer counts does not go on running unseen."""
        log.info("ending a superseded process", extra={"job": held.job, "attempt": held.number})
        session = self._sessions.of(key_of(held))
        session.stop(key_of(held), reason=attempt.SUPERSEDED, grace=0.0)
        session.forget(key_of(held))

    def _sweep_workspaces(self, running: list[Held]) -> None:
        kept = {workspace.folder_of(self._settings.home, held) for held in running}
        folder = self._settings.home / "work"
        for left in folder.iterdir() if folder.is_dir() else ():
            if left not in kept:
                workspace.remove(left)

    # ── underneath ──

    def _until_answered(self, call: Callable[[], T]) -> T:
        """A worker that starts before its broker waits for it; one that is refused does not."""
        said = False
        while True:
            try:
                return call()
            except BrokerRefused:
                raise
            except BrokerUnavailable as error:
                if not said:
                    log.warning("waiting for the broker: %s", error)
                said = True
                if self._stopping.wait(1.0):
                    raise LetGo from error

    def _until_supervised(self, call: Callable[[], T]) -> T:
        """A worker without a supervisor takes no work, and tries again: its disk may be full."""
        said = ""
        while True:
            try:
                return call()
            except SupervisorError as error:
                self._sessions.drop()
                if str(error) != said:
                    log.error("no supervisor: %s", error)
                said = str(error)
                if self._stopping.wait(2.0):
                    raise LetGo from error

    def _job_ended(self, id: str) -> None:
        try:
            self._answers.ended(id)
        except BrokerUnavailable:
            return  # found overdue later

    def _replaced(self) -> None:
        self._stopping.set()
        self._sessions.interrupt()
        self._on_replaced()
