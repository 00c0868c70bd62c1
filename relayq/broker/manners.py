"""How a worker behaves towards its neighbours, and how it stops."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from typing import Any

from celery import bootsteps, signals
from celery.utils.threads import bound_open_broker_sockets
from celery.worker import state as worker_state

STOP_SECONDS = 4.0  #: after being told to stop, the process is gone by then, whatever hangs

_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)

log = logging.getLogger("relayq.worker")


class Manners(bootsteps.StartStopStep):
    """How a worker behaves towards its neighbours, and when it is told to stop.

    Celery's own second stage (QUIT, or a second Ctrl-C) waits inside the signal handler for slots that nobody has
    told, and its threads cannot cancel (NotImplementedError). Here every signal is a warm stop with a bounded end;
    INT or QUIT after the first is passed on as how="Cold". Receivers of `worker_shutting_down` run in a thread of
    ours, not in a signal handler, so that they may take locks.
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        # Also for `celery -A relayq.tasks worker` without the options that `worker_argv` gives.
        worker.options.update(without_mingle=True, without_gossip=True, without_heartbeat=True)
        super().__init__(worker, **options)

    def start(self, worker: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # a worker inside another program: signals are that program's
        # Python runs handlers in the main thread, which may miss one while it waits for the slots. The wakeup
        # descriptor is written at once, whatever that thread does.
        self._heard, self._told = socket.socketpair()
        self._told.setblocking(False)
        signal.set_wakeup_fd(self._told.fileno(), warn_on_full_buffer=False)
        for one in _STOPS:
            signal.signal(one, _nothing)
        if sys.__stdout__ is None or not sys.__stdout__.isatty():
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # Celery would restart itself, untold
        threading.Thread(target=self._stop, args=(worker,), name="relayq-stop", daemon=True).start()

    def _stop(self, worker: Any) -> None:
        told = self._next_signal()
        end = threading.Timer(STOP_SECONDS, _leave)
        end.daemon = True
        end.start()
        worker_state.should_stop = os.EX_OK
        self._tell(worker, told, "Warm")
        with suppress(Exception):
            worker.hub.call_soon(_nothing)  # the loop sees `should_stop` when it turns
        # Closing the connection, Celery reads the answer to the pending BRPOP: do not wait seconds for that.
        connection = getattr(getattr(worker, "consumer", None), "connection", None)
        if connection is not None:
            bound_open_broker_sockets(connection, 0.1)
        while True:
            told = self._next_signal()
            if told is not signal.SIGTERM:
                self._tell(worker, told, "Cold")

    def _tell(self, worker: Any, told: signal.Signals, how: str) -> None:
        signals.worker_shutting_down.send(sender=worker.hostname, sig=told.name, how=how, exitcode=os.EX_OK)

    def _next_signal(self) -> signal.Signals:
        while True:
            number = self._heard.recv(1)[0]
            if number in _STOPS:
                return signal.Signals(number)


def _leave() -> None:
    """The end of a stop that hangs: slots that did not let go, or a broker that does not answer."""
    log.warning("still not stopped after %s s: leaving now", STOP_SECONDS)
    logging.shutdown()
    os._exit(os.EX_OK)


def _nothing(*_: object) -> None:
    pass
