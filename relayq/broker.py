"""The ring: tells one worker, through Celery, that there is work. What the work is, only the store knows.

A *ring* is a Celery message that says only "look at the store"; a *nudge* is a Celery control command, "pulse now".
Neither ever changes for a worker, so Celery renders them once (`bell_for`) and the store's scripts push the
strings. `relayq.tasks` connects this with the worker's agent, in the order in which Celery calls:

    app = broker.make_app(url)

    @signals.celeryd_init.connect  # before the queues are chosen
    def configure(sender, conf, **_):
        agent.name = broker.configure_worker(app, sender, conf, default=settings.worker_name)

    @signals.worker_ready.connect  # once, when rings are heard; not again after a reconnect
    def register(sender, **_):
        agent.start(broker.bell_for(app, agent.name, sender.hostname))

    @app.task(name=broker.RING_TASK, ignore_result=True)  # in a slot's thread
    def ring():
        agent.work()  # returns when nothing is left, or promptly after `let_go`

    @control_command(name=broker.PULSE_COMMAND)  # in Celery's event loop: must not block
    def pulse(state):
        agent.pulse_soon()

    @broker.connection_changed.connect  # lost, or there again; in the event loop: must not block
    def look(sender, **_):
        agent.pulse_soon()

    @app.task(name="relayq.run_command", bind=True)  # 1.x: the result comes later, by `store_result`
    def run_command(self, command, cwd=None, routing_key=None):
        agent.submit_for(self.request.id, command, cwd, on=routing_key)
        raise Ignore  # returning would store None: a 1.x message asks for its result

    @signals.worker_shutting_down.connect  # in a thread; "Cold" is a second Ctrl-C
    def stop(sender, how, **_):
        agent.let_go(end_jobs=how == "Cold")  # the process is gone after STOP_SECONDS
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from celery import Celery, bootsteps, signals, states
from celery.app.amqp import AMQP
from celery.concurrency.thread import TaskPool
from celery.exceptions import BackendError
from celery.utils.dispatch import Signal
from celery.utils.threads import bound_open_broker_sockets
from celery.worker import state as worker_state
from kombu import Connection, Exchange, Producer, Queue
from kombu.exceptions import KombuError
from kombu.transport import redis as wire
from kombu.utils.uuid import uuid

from relayq.errors import BrokerUnavailable
from relayq.model import Bell

RING_TASK = "relayq.ring"
PULSE_COMMAND = "relayq_pulse"
OLD_QUEUE = "celery"  #: where 1.x clients put their tasks
RESULT_SECONDS = 24 * 3600  #: how long a 1.x client may come for its result
STOP_SECONDS = 4.0  #: after being told to stop, the process is gone by then, whatever hangs

_BRPOP_SECONDS = 4  #: how long Redis holds the question "any ring?"; one request each
_PING_SECONDS = 5  #: between two looks whether the connections still live; each costs two requests (kombu asks twice)
_SOCKET_SECONDS = 5.0  #: must exceed _BRPOP_SECONDS, whose answer may be as late as that
_CONNECT_SECONDS = 2.0
_RETRY_SECONDS = 2.0  #: between two tries to reach a broker that is away
_COMPLAIN_SECONDS = 60.0  #: between two log lines about it

_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)

log = logging.getLogger(__name__)

#: Sent when a worker's connection to the broker was lost, and when there is another. Receivers must not block.
connection_changed = Signal(name="connection_changed")


def make_app(broker_url: str) -> Celery:
    """A Celery application for the worker of this machine. Connects to nothing.

    `broker_url` is `redis://`, `rediss://` or `unix://`, as everywhere in relayq.
    """
    url, encryption = _celery_url(broker_url)
    app = Celery("relayq", broker=url, backend=url, amqp=_Amqp)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        # Early acknowledgement, and nothing of Celery's emulation of late ones: on Redis it repeats running jobs.
        task_acks_late=False,
        task_ignore_result=True,
        task_track_started=False,
        task_send_sent_event=False,
        worker_pool=f"{__name__}:SlotPool",
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        # A slot is busy for hours: after a reconnect Celery would go on hearing with fewer slots until it is free.
        worker_enable_prefetch_count_reduction=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_disable_rate_limits=True,
        worker_detect_quorum_queues=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        # With an expiry, kombu runs a script every minute in its event loop, which a silent link would block.
        control_queue_expires=None,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=_CONNECT_SECONDS,
        broker_heartbeat=0,
        broker_use_ssl=encryption,
        broker_transport_options={
            "ack_emulation": False,
            "queue_order_strategy": "priority",
            "polling_interval": _BRPOP_SECONDS,
            "socket_timeout": _SOCKET_SECONDS,
            "socket_connect_timeout": _CONNECT_SECONDS,
            "socket_keepalive": True,
            "health_check_interval": _PING_SECONDS,
            "max_connections": 20,
        },
        result_expires=RESULT_SECONDS,
        result_backend_thread_safe=True,  # one connection, not one for each thread that stores a result
        result_backend_transport_options={"retry_policy": {"max_retries": 0}},
        redis_backend_use_ssl=encryption,
        redis_socket_timeout=_CONNECT_SECONDS,
        redis_socket_connect_timeout=_CONNECT_SECONDS,
        redis_retry_on_timeout=False,
        redis_backend_health_check_interval=_PING_SECONDS,
    )
    app.steps["worker"].add(_Manners)
    app.steps["consumer"].add(_Connection)
    return app


def worker_argv(name: str, slots: int, *, loglevel: str = "INFO", logfile: str | None = None) -> list[str]:
    """The command line of a worker. The broker's URL is not in it: `relayq.tasks` reads the configuration."""
    argv = [sys.executable, "-m", "celery", "-A", "relayq.tasks", "worker"]
    argv += [f"--hostname={name}@%h", f"--concurrency={slots}", f"--loglevel={loglevel}"]
    argv += ["--without-mingle", "--without-gossip", "--without-heartbeat"]
    return [*argv, f"--logfile={logfile}"] if logfile else argv


def configure_worker(app: Celery, hostname: str, conf: Any, *, default: str | None = None) -> str:
    """Prepares the worker Celery is about to start, and answers its name: what stands before the `@`.

    For a `celeryd_init` handler, where `hostname` is the sender. If no name was given on the command line
    (Celery then says `celery@…`), it is `default`.
    """
    name = hostname.partition("@")[0]
    if name == "celery" and default:
        name = default
    exchange = Exchange(OLD_QUEUE, type="direct")  # Celery's default, in which 1.x clients look its queue up
    conf.task_queues = [Queue(q, exchange, routing_key=q) for q in (ring_queue(name), OLD_QUEUE)]
    # Two lines for each ring say nothing that the agent does not say better.
    for logger in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(logger).setLevel(logging.WARNING)
    return name


def ring_queue(name: str) -> str:
    """The Redis list in which the worker hears its rings."""
    return f"relayq.ring.{name}"


def bell_for(app: Celery, name: str, hostname: str) -> Bell:
    """What to send to wake the worker `name`, whose Celery node is called `hostname`. Connects to nothing."""
    with app.connection_for_write() as connection:
        connection.transport_cls = transport = _recording_transport()
        producer = Producer(connection, auto_declare=False)
        message = app.amqp.as_task_v2(uuid(), RING_TASK, ignore_result=True)
        producer.publish(
            message.body,
            exchange="",
            routing_key=ring_queue(name),
            serializer="json",
            headers=message.headers,
            **message.properties,
        )
        mailbox = app.control.mailbox(connection)
        mailbox.producer_pool = None  # else it would take a producer of the application's, which connects
        mailbox._broadcast(PULSE_COMMAND, destination=[hostname], timeout=None)  # None: it does not expire
    (ring_list, ring), (channel, nudge) = transport.sent
    return Bell(queue=ring_list, ring=ring, channel=channel, nudge=nudge)


def store_result(app: Celery, task_id: str, *, value: Any = None, error: BaseException | None = None) -> None:
    """Gives a 1.x client, which waits for the Celery task `task_id`, its value (JSON) or its exception.

    The first success stays: a later call changes nothing. Raises BrokerUnavailable within a few seconds if the
    result could not be stored; calling again is harmless.
    """
    backend = app.backend
    trouble = (*backend.connection_errors, *backend.channel_errors, BackendError, KombuError, OSError, RuntimeError)
    try:
        if error is None:
            backend.store_result(task_id, value, states.SUCCESS)
        else:
            backend.store_result(task_id, _builtin(error), states.FAILURE)
    except trouble as e:
        raise BrokerUnavailable(f"the broker did not take the result of {task_id}: {e}") from e


class SlotPool(TaskPool):
    """Celery's threads, which say when they are free.

    With `worker_disable_prefetch`, Celery stops asking Redis while all slots are busy and looks again only when its
    event loop happens to turn, up to a second after a slot has become free.
    """

    _loop: Any = None

    def register_with_event_loop(self, loop: Any) -> None:
        """Celery's hook, called with every new connection."""
        self._loop = loop

    def on_apply(self, *args: Any, **options: Any) -> Any:
        """Celery's hook: runs a task in a thread."""
        result = super().on_apply(*args, **options)
        result.f.add_done_callback(self._turn_loop)
        return result

    def _turn_loop(self, _future: object) -> None:
        if self._loop is not None:
            self._loop.call_soon(_nothing)


class _Manners(bootsteps.StartStopStep):
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


class _Connection(bootsteps.StartStopStep):
    """Tells of every connection that is lost and made anew: `connection_changed`, in Celery's event loop."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        connection_changed.send(sender=consumer.hostname)

    stop = start


class _PatientConnection(Connection):
    """A connection that is tried again every two seconds for ever; Celery's own steps grow to half a minute."""

    def ensure_connection(self, errback: Callable[..., Any] | None = None, *args: Any, **options: Any) -> Any:
        options |= {"interval_start": 1.0, "interval_step": 1.0, "interval_max": _RETRY_SECONDS}
        return super().ensure_connection(_seldom(errback), *args, **options)


class _Amqp(AMQP):
    Connection = _PatientConnection


def _seldom(complain: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """`complain` about the first error, then once a minute: a machine may be without its broker for weeks."""
    if complain is None:
        return None
    silent_until = 0.0

    def errback(error: Exception, interval: float) -> None:
        nonlocal silent_until
        if time.monotonic() >= silent_until:
            silent_until = time.monotonic() + _COMPLAIN_SECONDS
            complain(error, interval)

    return errback


def _recording_transport() -> Any:
    """Kombu's Redis transport with a pencil instead of a connection: `sent` is what it would have sent, and where."""
    sent: list[tuple[str, str]] = []

    class Pencil:
        connection = None

        def ping(self) -> bool:
            return True

        def lpush(self, key: str, message: str) -> None:
            sent.append((key, message))

        publish = lpush

    class Channel(wire.Channel):
        def _create_client(self, asynchronous: bool = False) -> Pencil:
            self._get_pool(
                asynchronous
            )  # connects to nothing, and puts the number of the database into channels' names
            return Pencil()

    class Transport(wire.Transport):
        pass

    Transport.Channel = Channel
    Transport.sent = sent
    return Transport


def _celery_url(url: str) -> tuple[str, dict[str, Any] | None]:
    """The URL in Celery's dialect, and its settings for encryption."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        query = dict(parse_qsl(parts.query))
        query["virtual_host"] = query.pop("db", "0")
        return f"redis+socket://{parts.netloc}{parts.path}?{urlencode(query)}", None
    return url, {"ssl_cert_reqs": ssl.CERT_REQUIRED} if parts.scheme == "rediss" else None


def _builtin(error: BaseException) -> Exception:
    """The same message in an exception that every Python knows: a client of 1.x has none of our classes."""
    plain = len(error.args) == 1 and isinstance(error.args[0], str)
    message = error.args[0] if plain else str(error)
    for cls in type(error).__mro__:
        if cls.__module__ == "builtins" and issubclass(cls, Exception):
            with suppress(TypeError):  # UnicodeDecodeError wants more than a message
                return cls(message)
    return RuntimeError(message)


def _leave() -> None:
    """The end of a stop that hangs: slots that did not let go, or a broker that does not answer."""
    log.warning("still not stopped after %s s: leaving now", STOP_SECONDS)
    logging.shutdown()
    os._exit(os.EX_OK)


def _nothing(*_: object) -> None:
    pass
