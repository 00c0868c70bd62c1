"""An ended attempt whose outcome was not yet forgotten: in memory, or on the shelf."""

from typing import Any

from relayq.supervisor import wire
from relayq.supervisor.delivery import Delivery, Session
from relayq.supervisor.output import Kept
from relayq.supervisor.shelf import Shelf


class Outcome:
    """What is known of an ended attempt. `kept` is None while its output lies only on the shelf."""

    __slots__ = ("_delivery", "ended", "header", "kept", "key", "on_shelf", "pid", "told")

    def __init__(self, header: wire.Header, kept: Kept | None, ended: float, pid: int | None) -> None:
        self.key: str = header["key"]
        self.header = header
        self.kept = kept
        self.ended = ended  #: by the clock that stands still during sleep
        self.pid = pid
        self.on_shelf = kept is None
        self.told: Session | None = None  #: who got the exit frame, and may forget it any moment
        self._delivery: Delivery | None = None

    @property
    def session(self) -> Session | None:
        """Whom it is being sent to."""
        return self._delivery.session if self._delivery is not None else None

    def attach(self, session: Session, sent: list[int], shelf: Shelf) -> None:
        """Sends it to a session, the output from these offsets on."""
        kept = self.kept
        if kept is None:
            found = shelf.get(self.key)
            kept = Kept(0) if found is None else _restored(*found)
            # The shelf may have given up the output since, for its budget.
            lost = self.header.get("stdout_bytes", 0) + self.header.get("stderr_bytes", 0)
            self.header["dropped_bytes"] = lost if found is None else kept.dropped_bytes
        self._delivery = Delivery(self.key, kept, session, sent)
        self.deliver()

    def detach(self, session: Session) -> None:
        """The session is gone."""
        if self.told is session:
            self.told = None
        if self.session is session:
            self._delivery = None

    def deliver(self) -> None:
        """Sends what the session has room for; the exit frame is the last."""
        if self._delivery is None or self._delivery.session is None:
            return
        pieces = self._delivery.rest()
        if pieces is None:
            return
        session = self.told = self._delivery.session
        self._delivery = None
        session.send(_exit_frame(self.header, pieces))

    def shelve(self, shelf: Shelf) -> bool:
        """Moves it to disk; False if that failed."""
        if self.kept is not None:
            pieces = [(chunk.stream, chunk.offset, chunk.data) for chunk in self.kept.chunks()]
            body = bytearray().join(data for _, _, data in pieces)
            header = {**self.header, "chunks": [(stream, at, len(data)) for stream, at, data in pieces]}
            if not shelf.put(self.key, header, body):
                return False
            self.kept = None
            self.on_shelf = True
        return True

    def drop_output(self) -> None:
        """Keeps the outcome and gives up its output: memory is short and the disk cannot take it."""
        if self.kept is not None:
            self.header["dropped_bytes"] += self.kept.kept_bytes
            self.kept = Kept.restored([], list(self.kept.totals), self.header["dropped_bytes"])

    def state(self) -> dict[str, Any]:
        """For the list."""
        header = self.header
        return {
            "key": self.key,
            "pid": self.pid,
            "state": "ended",
            "started_at": header.get("started_at", 0.0),
            "out": header.get("stdout_bytes", 0),
            "err": header.get("stderr_bytes", 0),
            "reason": header["reason"],
        }


def exit_header(key: str, reason: str, kept: Kept, **facts: object) -> wire.Header:
    """The header of an exit frame."""
    return {
        "op": "exit",
        "key": key,
        "reason": reason,
        "stdout_bytes": kept.totals[1],
        "stderr_bytes": kept.totals[2],
        "dropped_bytes": kept.dropped_bytes,
        **facts,
    }


def _exit_frame(header: wire.Header, pieces: list[tuple[int, int, bytes]]) -> bytes:
    chunks = [(stream, offset, len(data)) for stream, offset, data in pieces]
    return wire.frame({**header, "chunks": chunks}, b"".join([data for _, _, data in pieces]))


def _restored(header: wire.Header, body: bytes) -> Kept:
    pieces = []
    at = 0
    for stream, offset, size in header["chunks"]:
        pieces.append((stream, offset, body[at : at + size]))
        at += size
    totals = [0, header.get("stdout_bytes", 0), header.get("stderr_bytes", 0)]
    return Kept.restored(pieces, totals, header.get("dropped_bytes", 0))
