"""The server's life: it listens on loopback and the Tailscale address, and has the broker follow when that changes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator, Sequence

import uvicorn
from starlette.applications import Starlette

from relayq.errors import ConfigError, RelayqError
from relayq.store.admin import Admin

log = logging.getLogger("relayq.server")

LOOPBACK = "127.0.0.1"
LOOK_EVERY = 5.0  #: seconds between two looks at the Tailscale address
SEND_BUFFER = 128 << 10  #: bytes the system keeps for a client
SILENCE = 20.0  #: seconds after which a client that takes nothing is cut off
STOP_PATIENCE = 3.0  #: seconds for answers on their way


class Server:
    """Listens on whatever `addresses` says, which may change; `moved` hears of every change, `stopping` of the end."""

    def __init__(
        self,
        app: Starlette,
        port: int,
        addresses: Callable[[], Sequence[str]],
        moved: Callable[[Sequence[str]], None] = lambda _addresses: None,
        *,
        stopping: Callable[[], None] = lambda: None,
        look_every: float = LOOK_EVERY,
    ) -> None:
        self._app = app
        self._port = port
        self._addresses = addresses
        self._moved = moved
        self._stopping = stopping
        self._look_every = look_every
        self._listening: dict[str, tuple[uvicorn.Server, asyncio.Task[None]]] = {}
        self._over = asyncio.Event()

    async def run(self) -> None:
        """Until TERM or Ctrl-C. Raises ConfigError if it cannot listen on loopback."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._over.set)
        try:
            while not self._over.is_set():
                await self._follow(await asyncio.to_thread(self._addresses))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._over.wait(), self._look_every)
        finally:
            self._stopping()
            await asyncio.gather(*(self._leave(address) for address in list(self._listening)))

    async def _follow(self, wanted: Sequence[str]) -> None:
        for address in [address for address in self._listening if address not in wanted]:
            await self._leave(address)
        for address in wanted:
            if address not in self._listening:
                self._listen(address)
        try:
            await asyncio.to_thread(self._moved, wanted)
        except RelayqError as error:
            log.warning("the broker's addresses were not looked at: %s", error)

    def _listen(self, address: str) -> None:
        listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bound(listener)
        try:
            listener.bind((address, self._port))
        except OSError as error:
            listener.close()
            if address == LOOPBACK:
                raise ConfigError(
                    f"port {self._port} is not free here ({error.strerror}): name another with server.port"
                ) from error
            log.warning("cannot listen on %s:%s yet: %s", address, self._port, error.strerror)
            return
        config = uvicorn.Config(
            self._app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=int(STOP_PATIENCE)
        )
        server = _Quiet(config)
        task = asyncio.get_running_loop().create_task(_serve(server, listener))
        self._listening[address] = (server, task)
        log.info("listening on http://%s:%s", address, self._port)

    async def _leave(self, address: str) -> None:
        server, task = self._listening.pop(address)
        server.should_exit = True
        await task
        log.info("no longer listening on %s", address)


def _bound(listener: socket.socket) -> None:
    """What a client that does not read may cost; its connections inherit it."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: also for what was closed and cannot be sent
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(SILENCE * 1000))


async def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    try:
        await server.serve([listener])
    finally:
        listener.close()


class _Quiet(uvicorn.Server):
    """There are several in one process: signals are for all of them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Not here."""
        yield


class BrokerBinding:
    """Has the broker listen where the server does. (Its own start looks for itself.)"""

    def __init__(self, admin_url: str) -> None:
        self._admin = Admin(admin_url)

    def __call__(self, addresses: Sequence[str]) -> None:
        """Raises BrokerUnavailable, BrokerRefused."""
        if self._admin.bind(addresses):
            log.info("the broker listens on %s now", " ".join(addresses))
