"""Whom the doctor asks: Redis, Tailscale, the store, the server, the service manager; each question bounded in time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from relayq import tailnet
from relayq.config import Settings
from relayq.doctor import server
from relayq.errors import RelayqError
from relayq.model import WorkerState
from relayq.service.model import Name, Status
from relayq.store import health
from relayq.store.health import Ears, Health

T = TypeVar("T")

PATIENCE = 2.0  #: seconds for one question to another machine
COMMAND_PATIENCE = 4.0  #: seconds for a command


class Once(Generic[T]):
    """An answer for whoever asks first, and for all others; an error too."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._answer: list[T] = []
        self._error: RelayqError | None = None

    def __call__(self) -> T:
        with self._lock:
            if self._error is None and not self._answer:
                try:
                    self._answer.append(self._ask())
                except RelayqError as error:
                    self._error = error
        if self._error is not None:
            raise self._error
        return self._answer[0]


def _workers(settings: Settings) -> tuple[float, list[WorkerState]]:
    from contextlib import closing

    from relayq.client import open_store

    with closing(open_store(settings, timeout=PATIENCE)) as store:
        return store.workers()


def _service(name: Name) -> Status | None:
    from relayq.service import find

    try:
        return find(name).status(name)
    except RelayqError:
        return None


def _resolved(host: str) -> tuple[str, ...]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) if host else []
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


@dataclass(frozen=True)
class Sources:
    """Whom to ask. Tests give answers of their own."""

    redis: Callable[[str], Health] = health.look
    addresses: Callable[[str], tuple[str, ...]] = _resolved
    tailnet: Callable[[], tailnet.Tailnet] = lambda: tailnet.look(COMMAND_PATIENCE)
    workers: Callable[[Settings], tuple[float, list[WorkerState]]] = _workers
    server: Callable[[str], str] = server.version
    ears: Callable[[str, str], Ears | None] = health.ears
    service: Callable[[Name], Status | None] = _service
