"""The Celery application of a worker: its settings, its command line and its queues."""

from __future__ import annotations

import logging
import ssl
import sys
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from celery import Celery
from kombu import Exchange, Queue

from relayq.broker import pool
from relayq.broker.bell import ring_queue
from relayq.broker.connecting import CONNECT_SECONDS, ConnectionChanges, PatientAMQP
from relayq.broker.manners import Manners

OLD_QUEUE = "celery"  #: where 1.x clients put their tasks
RESULT_SECONDS = 24 * 3600  #: how long a 1.x client may come for its result

_BRPOP_SECONDS = 4  #: how long Redis holds the question "any ring?"; one request each
_PING_SECONDS = 5  #: between two looks whether the connections still live; each costs two requests (kombu asks twice)
_SOCKET_SECONDS = 5.0  #: must exceed _BRPOP_SECONDS, whose answer may be as late as that


def make_app(broker_url: str) -> Celery:
    """A Celery application for the worker of this machine. Connects to nothing.

    `broker_url` is `redis://`, `rediss://` or `unix://`, as everywhere in relayq.
    """
    url, encryption = _celery_url(broker_url)
    app = Celery("relayq", broker=url, backend=url, amqp=PatientAMQP)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        # Early acknowledgement, and nothing of Celery's emulation of late ones: on Redis it repeats running jobs.
        task_acks_late=False,
        task_ignore_result=True,
        task_track_started=False,
        task_send_sent_event=False,
        worker_pool=f"{pool.__name__}:SlotPool",
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
        broker_connection_timeout=CONNECT_SECONDS,
        broker_heartbeat=0,
        broker_use_ssl=encryption,
        broker_transport_options={
            "ack_emulation": False,
            "queue_order_strategy": "priority",
            "polling_interval": _BRPOP_SECONDS,
            "socket_timeout": _SOCKET_SECONDS,
            "socket_connect_timeout": CONNECT_SECONDS,
            "socket_keepalive": True,
            "health_check_interval": _PING_SECONDS,
            "max_connections": 20,
        },
        result_expires=RESULT_SECONDS,
        result_backend_thread_safe=True,  # one connection, not one for each thread that stores a result
        result_backend_transport_options={"retry_policy": {"max_retries": 0}},
        redis_backend_use_ssl=encryption,
        redis_socket_timeout=CONNECT_SECONDS,
        redis_socket_connect_timeout=CONNECT_SECONDS,
        redis_retry_on_timeout=False,
        redis_backend_health_check_interval=_PING_SECONDS,
    )
    app.steps["worker"].add(Manners)
    app.steps["consumer"].add(ConnectionChanges)
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


def _celery_url(url: str) -> tuple[str, dict[str, Any] | None]:
    """The URL in Celery's dialect, and its settings for encryption."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        query = dict(parse_qsl(parts.query))
        query["virtual_host"] = query.pop("db", "0")
        return f"redis+socket://{parts.netloc}{parts.path}?{urlencode(query)}", None
    return url, {"ssl_cert_reqs": ssl.CERT_REQUIRED} if parts.scheme == "rediss" else None
