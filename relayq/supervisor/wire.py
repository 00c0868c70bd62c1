"""The frames on the supervisor's socket: how they are written and read; what they mean is said elsewhere.

A frame is two 4-byte big-endian lengths, a JSON object (the header) and raw bytes (the body), so that
output and stdin travel byte-exact.
"""

import json
import struct
from collections.abc import Iterator
from typing import Any

PROTOCOL = 1  #: both ends must speak the same
MAX_HEADER_BYTES = 16 << 20  #: above any argv and environment that a kernel accepts
MAX_BODY_BYTES = 64 << 20  #: the largest stdin of a job

Header = dict[str, Any]

_LENGTHS = struct.Struct("!II")
# ASCII escapes carry the lone surrogates by which Python names undecodable bytes in arguments.
_encode = json.JSONEncoder(separators=(",", ":")).encode


class BadFrame(ValueError):
    """The other side does not speak this language; the connection is of no use any more."""


def frame(header: Header, body: bytes | bytearray = b"") -> bytes:
    """The bytes of one frame."""
    head = _encode(header).encode("ascii")
    return _LENGTHS.pack(len(head), len(body)) + head + body


class Reader:
    """Cuts received bytes into frames."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Takes what recv() gave."""
        self._buffer += data

    def frames(self) -> Iterator[tuple[Header, bytes]]:
        """Every complete frame received so far. Raises BadFrame for what can never become one."""
        while (found := self.frame()) is not None:
            yield found

    def frame(self) -> tuple[Header, bytes] | None:
        """The next complete frame, or None. Raises BadFrame for what can never become one."""
        buffer = self._buffer
        if len(buffer) < _LENGTHS.size:
            return None
        head_bytes, body_bytes = _LENGTHS.unpack_from(buffer)
        if head_bytes > MAX_HEADER_BYTES or body_bytes > MAX_BODY_BYTES:
            raise BadFrame(f"a frame of {head_bytes} + {body_bytes} bytes is beyond all bounds")
        body_at = _LENGTHS.size + head_bytes
        end = body_at + body_bytes
        if len(buffer) < end:
            return None
        try:
            header = json.loads(buffer[_LENGTHS.size : body_at])
        except (ValueError, RecursionError) as error:
            raise BadFrame("a frame's header is not JSON") from error
        if not isinstance(header, dict):
            raise BadFrame("a frame's header is not an object")
        body = bytes(buffer[body_at:end])
        del buffer[:end]
        return header, body
