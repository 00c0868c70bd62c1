"""What clients may ask, frame by frame: checks the words, leaves the doing to the supervisor.

A frame that makes no sense raises BadFrame, which costs its sender the connection and nobody else anything.
"""

import re
from collections.abc import Callable
from typing import Any, Protocol

from relayq.supervisor import wire
from relayq.supervisor.connection import Connection

# JOBID/N or JOBID/N/WORD, short enough for a file's name.
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}/[0-9]{1,9}(/[A-Za-z0-9._-]{1,100})?")


class Doer(Protocol):
    """The supervisor, as seen from here."""

    def hello(self, connection: Connection, protocol: int, version: str, env: dict[str, str]) -> None: ...
    def start(self, connection: Connection, key: str, order: dict[str, Any], stdin: bytes | None) -> None: ...
    def attach(self, connection: Connection, key: str, offsets: list[int]) -> None: ...
    def stop(self, key: str, reason: str, grace: float | None) -> None: ...
    def freeze(self, key: str) -> None: ...
    def thaw(self, key: str) -> None: ...
    def renew(self, key: str, at: float | None, *, thaw: bool) -> None: ...
    def forget(self, key: str) -> None: ...
    def tell(self, connection: Connection) -> None: ...
    def shut_down(self, reason: str, grace: float | None) -> None: ...


def serve(doer: Doer, connection: Connection, header: wire.Header, body: bytes) -> None:
    """Does what one frame asks."""
    op = header.get("op")
    if not connection.greeted:
        if op != "hello":
            raise wire.BadFrame("the first frame must be a hello")
        env = header.get("env")
        doer.hello(
            connection,
            header["protocol"] if isinstance(header.get("protocol"), int) else -1,
            str(header.get("version")),
            _texts(env) if env is not None else {},
        )
        return
    handler = _HANDLERS.get(str(op))
    if handler is None:
        raise wire.BadFrame(f"no such request: {op!r}")
    handler(doer, connection, header, body)


def _start(doer: Doer, connection: Connection, header: wire.Header, body: bytes) -> None:
    key = _key(header)
    argv = header.get("argv")
    if not isinstance(argv, list) or not all(isinstance(word, str) for word in argv):
        raise wire.BadFrame("argv is not a list of words")
    env = header.get("env") or {}
    if not isinstance(env, dict) or not all(value is None or isinstance(value, str) for value in env.values()):
        raise wire.BadFrame("env is not texts by name")
    cwd = header.get("cwd")
    if cwd is not None and not isinstance(cwd, str):
        raise wire.BadFrame("cwd is not a text")
    order = {
        "argv": argv,
        "env": env,
        "cwd": cwd,
        "timeout": _seconds(header.get("timeout")),
        "grace": _seconds(header.get("grace")) or 0.0,
        "max": int(_seconds(header.get("max")) or 0),
        "freeze": header.get("freeze", True) is not False,
        "deadline": _seconds(header.get("deadline")),
    }
    for old in header.get("forget") or ():
        doer.forget(str(old))
    doer.start(connection, key, order, body if header.get("stdin") else None)


def _attach(doer: Doer, connection: Connection, header: wire.Header, _body: bytes) -> None:
    offsets = header.get("offsets") or {}
    if not isinstance(offsets, dict):
        raise wire.BadFrame("offsets are not numbers by stream")
    given = [int(_seconds(offsets.get(stream)) or 0) for stream in ("1", "2")]
    doer.attach(connection, _key(header), [0, *(max(0, offset) for offset in given)])


def _stop(doer: Doer, _connection: Connection, header: wire.Header, _body: bytes) -> None:
    doer.stop(_key(header), str(header.get("reason", "cancelled")), _seconds(header.get("grace")))


def _deadlines(doer: Doer, _connection: Connection, header: wire.Header, _body: bytes) -> None:
    given = header.get("at")
    if not isinstance(given, dict):
        raise wire.BadFrame("deadlines are not instants by key")
    for key, at in given.items():
        doer.renew(key, _seconds(at), thaw=header.get("thaw") is not False)


def _forget(doer: Doer, _connection: Connection, header: wire.Header, _body: bytes) -> None:
    doer.forget(_key(header))


def _freeze(doer: Doer, _connection: Connection, header: wire.Header, _body: bytes) -> None:
    doer.freeze(_key(header))


def _thaw(doer: Doer, _connection: Connection, header: wire.Header, _body: bytes) -> None:
    doer.thaw(_key(header))


def _list(doer: Doer, connection: Connection, _header: wire.Header, _body: bytes) -> None:
    doer.tell(connection)


def _shutdown(doer: Doer, _connection: Connection, header: wire.Header, _body: bytes) -> None:
    doer.shut_down(str(header.get("reason", "worker_stopped")), _seconds(header.get("grace")))


_HANDLERS: dict[str, Callable[[Doer, Connection, wire.Header, bytes], None]] = {
    "start": _start,
    "attach": _attach,
    "stop": _stop,
    "freeze": _freeze,
    "thaw": _thaw,
    "deadlines": _deadlines,
    "forget": _forget,
    "list": _list,
    "shutdown": _shutdown,
}


def _key(header: wire.Header) -> str:
    key = header.get("key")
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise wire.BadFrame(f"not a key: {key!r}")
    return key


def _seconds(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e12:
        raise wire.BadFrame(f"not a number: {value!r}")
    return float(value)


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise wire.BadFrame("env is not texts by name")
    return value
