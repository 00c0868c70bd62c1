"""The store as a file, and back: a snapshot as a replica gets it, of one moment, for which nobody has to wait."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from io import BufferedRWPair
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

import redis

from relayq.errors import BrokerRefused, BrokerUnavailable
from relayq.store.trouble import translated

OURS = ("relayq:*", "relayq-admin:*")  #: what is ours among the keys
_PIECE = 1 << 16
_PATIENCE = 60.0  #: seconds until the broker must have begun to send, or sends on
_BATCH = 500  #: keys a round trip


def snapshot(url: str, into: BinaryIO) -> int:
    """Write the broker's data of this moment, as an RDB file; its size in bytes.

    Raises BrokerUnavailable, BrokerRefused.
    """
    with _connected(url) as stream:
        stream.write(b"SYNC\r\n")
        stream.flush()
        left = _announced(stream.readline)
        size = left
        while left:
            piece = stream.read(min(left, _PIECE))
            if not piece:
                raise BrokerUnavailable("the broker ended the transfer of its snapshot. Try again")
            into.write(piece)
            left -= len(piece)
        return size


def copy(source: str, target: str) -> int:
    """Replace relayq's keys at `target` by those at `source`; how many there are. Raises as `snapshot`."""
    with closing(_client(source)) as old, closing(_client(target)) as new, translated(target):
        for pattern in OURS:
            for keys in _batches(new.scan_iter(pattern, count=_BATCH)):
                new.unlink(*keys)
        count = 0
        for pattern in OURS:
            for keys in _batches(old.scan_iter(pattern, count=_BATCH)):
                count += _transfer(old, new, keys)
        # Whoever is at work says what it runs, as after a restart of the broker.
        new.hset("relayq:epoch", "run_id", "restored")
        return count


def users(url: str) -> list[str]:
    """The machines' users, as lines of an ACL file: their passwords' hashes, no passwords."""
    with closing(_client(url)) as client, translated(url):
        lines = [
            line.decode() if isinstance(line, bytes) else str(line) for line in client.execute_command("ACL", "LIST")
        ]
        return [line for line in lines if line.startswith("user worker-")]


def put_users(url: str, lines: list[str]) -> None:
    """Let the machines in again that had joined. Raises BrokerRefused if the broker keeps no users."""
    with closing(_client(url)) as client, translated(url):
        for line in lines:
            _, name, *rules = line.split()
            client.execute_command("ACL", "SETUSER", name, "reset", *rules)
        if lines:
            client.execute_command("ACL", "SAVE")


def holds(url: str) -> int:
    """How many jobs the store at `url` has a record of."""
    with closing(_client(url)) as client, translated(url):
        return int(client.zcard("relayq:ids"))


def _transfer(old: Any, new: Any, keys: list[bytes]) -> int:
    with old.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.dump(key)
            pipe.pttl(key)
        answers = pipe.execute()
    with new.pipeline(transaction=False) as pipe:
        for key, dump, ttl in zip(keys, answers[::2], answers[1::2], strict=True):
            if dump is not None:
                pipe.restore(key, max(0, ttl), dump, replace=True)
        pipe.execute()
    return len(keys)


def _batches(keys: Iterator[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for key in keys:
        batch.append(key)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _client(url: str) -> Any:
    return redis.Redis.from_url(url, socket_timeout=_PATIENCE, socket_connect_timeout=5.0, protocol=2)


@contextmanager
def _connected(url: str) -> Iterator[BufferedRWPair]:
    parts = urlsplit(url)
    place = f"{parts.hostname}:{parts.port or 6379}"
    try:
        if parts.scheme == "unix":
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(_PATIENCE)
            connection.connect(parts.path)
        else:
            connection = socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 6379), 5.0)
            connection.settimeout(_PATIENCE)
            if parts.scheme == "rediss":
                connection = ssl.create_default_context().wrap_socket(connection, server_hostname=parts.hostname)
        with connection, connection.makefile("rwb") as stream:
            _log_in(stream, unquote(parts.username or ""), unquote(parts.password or ""))
            yield stream
    except OSError as error:
        if isinstance(error, BrokerUnavailable):
            raise
        raise BrokerUnavailable(f"the broker at {place} does not answer ({error.strerror or error})") from error


def _log_in(stream: Any, user: str, password: str) -> None:
    if not password:
        return
    words = [b"AUTH", *([user.encode()] if user else []), password.encode()]
    stream.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
    stream.flush()
    answer = stream.readline()
    if not answer.startswith(b"+OK"):
        raise BrokerRefused(f"the broker refuses the password: {answer.decode(errors='replace').strip()[1:]}")


def _announced(readline: Callable[[], bytes]) -> int:
    """The size that the broker announces; it sends empty lines while it prepares."""
    while True:
        line = readline()
        if not line:
            raise BrokerUnavailable("the broker closed the connection instead of sending a snapshot")
        if line.startswith(b"-"):
            raise BrokerRefused(f"the broker gives no snapshot: {line.decode(errors='replace').strip()[1:]}")
        if line.startswith(b"$"):
            return int(line[1:])
