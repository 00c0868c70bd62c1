"""One client's connection, as the supervisor holds it: frames in, a bounded queue of frames out."""

import contextlib
import os
import selectors
import socket
from collections import deque
from collections.abc import Callable

from relayq.supervisor import paths, wire

_RECEIVE_BYTES = 256 << 10
_ROOM_BYTES = 512 << 10  #: output is queued only below this
_MAX_QUEUED_BYTES = 64 << 20  #: a client that asks and asks and never reads is dropped


def listener_at(places: paths.Paths) -> tuple[socket.socket, str]:
    """A listening socket that only its owner can reach, and its path. Raises OSError."""
    trouble: OSError | None = None
    for path in places.sockets():
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            paths.make_private(os.path.dirname(path))
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            sock.bind(path)
            os.chmod(path, 0o600)
            sock.listen(128)
            sock.setblocking(False)
        except OSError as error:  # e.g. a file system that knows no sockets
            sock.close()
            trouble = error
            continue
        return sock, path
    assert trouble is not None
    raise trouble


class Connection:
    """A connected client. `handle` gets its frames, `room` is called when its queue is empty again."""

    def __init__(
        self,
        sock: socket.socket,
        selector: selectors.BaseSelector,
        *,
        handle: Callable[["Connection", wire.Header, bytes], None],
        room: Callable[["Connection"], None],
        closed: Callable[["Connection"], None],
    ) -> None:
        self.env: dict[str, str] = {}  #: base environment of the jobs it starts
        self.greeted = False
        self.attached: set[str] = set()  #: keys of what is delivered to it
        self.open = True
        self._sock = sock
        self._selector = selector
        self._handle = handle
        self._room = room
        self._closed = closed
        self._reader = wire.Reader()
        self._queue: deque[memoryview] = deque()
        self._queued_bytes = 0
        self._events = selectors.EVENT_READ
        sock.setblocking(False)
        selector.register(sock, self._events, self._ready)

    def has_room(self) -> bool:
        """Whether more output may be queued."""
        return self.open and self._queued_bytes < _ROOM_BYTES

    def send(self, frame: bytes) -> None:
        """Sends now or queues; never blocks."""
        if not self.open:
            return
        sent = 0
        if not self._queue:
            try:
                sent = self._sock.send(frame)
            except BlockingIOError:
                pass
            except OSError:
                self.close()
                return
            if sent == len(frame):
                return
        self._queue.append(memoryview(frame)[sent:])
        self._queued_bytes += len(frame) - sent
        if self._queued_bytes > _MAX_QUEUED_BYTES:
            self.close()
        else:
            self._want(selectors.EVENT_READ | selectors.EVENT_WRITE)

    def close(self) -> None:
        """Hangs up. What was attached to it goes on without it."""
        if self.open:
            self.open = False
            self._selector.unregister(self._sock)
            self._sock.close()
            self._queue.clear()
            self._closed(self)

    def _ready(self, _fd: int, events: int) -> None:
        if events & selectors.EVENT_WRITE and self.open:
            self._flush()
        if events & selectors.EVENT_READ and self.open:
            self._receive()

    def _receive(self) -> None:
        try:
            data = self._sock.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._reader.feed(data)
        try:
            while self.open and (found := self._reader.frame()) is not None:
                self._handle(self, *found)
        except wire.BadFrame:
            self.close()
        except Exception:
            self.close()
            raise

    def _flush(self) -> None:
        while self._queue:
            part = self._queue[0]
            try:
                sent = self._sock.send(part)
            except BlockingIOError:
                return
            except OSError:
                self.close()
                return
            self._queued_bytes -= sent
            if sent < len(part):
                self._queue[0] = part[sent:]
                return
            self._queue.popleft()
        self._want(selectors.EVENT_READ)
        self._room(self)

    def _want(self, events: int) -> None:
        if events != self._events:
            self._events = events
            self._selector.modify(self._sock, events, self._ready)
