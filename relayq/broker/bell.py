"""The two messages that wake a worker, rendered once: neither ever changes."""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu import Producer
from kombu.transport import redis as wire
from kombu.utils.uuid import uuid

from relayq.model import Bell

RING_TASK = "relayq.ring"
PULSE_COMMAND = "relayq_pulse"


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
