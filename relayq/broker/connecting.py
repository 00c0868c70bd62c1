"""How a worker keeps its connection to a broker that goes away and comes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from celery import bootsteps
from celery.app.amqp import AMQP
from celery.utils.dispatch import Signal
from kombu import Connection

CONNECT_SECONDS = 2.0
_RETRY_SECONDS = 2.0  #: between two tries to reach a broker that is away
_COMPLAIN_SECONDS = 60.0  #: between two log lines about it

#: Sent when a worker's connection to the broker was lost, and when there is another. Receivers must not block.
connection_changed = Signal(name="connection_changed")


class ConnectionChanges(bootsteps.StartStopStep):
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


class PatientAMQP(AMQP):
    """Celery's message maker, with that connection."""

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
