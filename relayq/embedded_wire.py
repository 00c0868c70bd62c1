"""One question to a Redis, over a plain socket: enough to see that it serves, without a client."""

from __future__ import annotations

import socket

TIMEOUT = 1.0  #: seconds for each step of the exchange
_LONGEST_LINE = 1 << 16


def ask(port: int, password: str | None, *command: str, host: str = "127.0.0.1", user: str | None = None) -> str:
    """The answer to one command after AUTH, as the protocol writes it: "+PONG", "-LOADING …"; of a text, the text.

    An error to AUTH is the answer. Raises OSError if nobody listens or what listens is no Redis.
    """
    login = ("AUTH", password or "") if user is None else ("AUTH", user, password or "")
    commands = [command] if password is None else [login, command]
    connection = socket.create_connection((host, port), timeout=TIMEOUT)
    with connection, connection.makefile("rwb") as stream:
        for words in commands:
            stream.write(_request(words))
            stream.flush()
            answer = _answer(stream.readline(_LONGEST_LINE))
            if answer.startswith("-"):
                return answer
        if answer.startswith("$"):
            return stream.read(int(answer[1:])).decode(errors="surrogateescape")
        return answer


def _request(words: tuple[str, ...]) -> bytes:
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def _answer(line: bytes) -> str:
    if line[:1] not in b"+-:$" or not line.endswith(b"\r\n"):
        raise ConnectionError("this is no Redis")
    return line.decode(errors="replace").rstrip()
