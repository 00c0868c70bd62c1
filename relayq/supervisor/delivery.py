"""Sends one attempt's output to the session it is attached to: live, never faster than the session reads."""

from typing import Protocol

from relayq.supervisor import wire
from relayq.supervisor.output import Kept

COALESCE = 0.05  #: seconds; a line is on its way this soon, and many lines travel together
_PIECE_BYTES = 64 << 10
_TAIL_RATE = 64 << 10  #: bytes per second of live output beyond the head; the rest comes at the end
_LEAST_BYTES = 4 << 10
REST_BYTES = 256 << 10  #: as much as this travels inside the exit frame


class Session(Protocol):
    """The connection, as seen from here."""

    def has_room(self) -> bool:
        """Whether more may be queued."""

    def send(self, frame: bytes) -> None:
        """Sends or queues; never blocks."""


class Delivery:
    """How far one attempt's output was sent to one session."""

    __slots__ = ("_allowance", "_allowance_at", "kept", "key", "sent", "session")

    def __init__(self, key: str, kept: Kept, session: Session | None, sent: list[int]) -> None:
        self.key = key
        self.kept = kept
        self.session = session
        self.sent = sent
        self._allowance = 0.0
        self._allowance_at = 0.0

    def live(self, now: float) -> bool:
        """Sends what may be sent now; whether to come again after COALESCE."""
        session, kept, sent = self.session, self.kept, self.sent
        if session is None:
            return False
        while session.has_room():
            limit = _PIECE_BYTES
            in_head = sent[1] < kept.head_ends[1] or sent[2] < kept.head_ends[2]
            if not in_head:
                if sent[1] == kept.totals[1] and sent[2] == kept.totals[2]:
                    return False
                limit = self._allowed(now)
                if limit < _LEAST_BYTES:
                    return True
            used = self._send(limit)
            if not used:
                return False
            if not in_head:
                self._allowance -= used
        return False  # the session says when it has room

    def rest(self) -> list[tuple[int, int, bytes]] | None:
        """After the end: what belongs into the exit frame, or None while the session has no room for it."""
        session = self.session
        if session is None:
            return None
        while session.has_room():
            if self.kept.kept_bytes <= REST_BYTES or self.kept.size_after(self.sent) <= REST_BYTES:
                return self.kept.after(self.sent, REST_BYTES)
            self._send(_PIECE_BYTES)
        return None

    def _send(self, limit: int) -> int:
        assert self.session is not None
        used = 0
        for stream, offset, data in self.kept.after(self.sent, limit):
            self.session.send(wire.frame({"op": "output", "key": self.key, "stream": stream, "offset": offset}, data))
            self.sent[stream] = offset + len(data)
            used += len(data)
        return used

    def _allowed(self, now: float) -> int:
        self._allowance = min(_TAIL_RATE, self._allowance + (now - self._allowance_at) * _TAIL_RATE)
        self._allowance_at = now
        return min(_PIECE_BYTES, int(self._allowance))
