"""The scripts of `lua/`: put together once, called by their digest, loaded when a broker does not know them yet."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from relayq.errors import BrokerRefused
from relayq.store.trouble import address_checked, translated

MIN_VERSION = (6, 2)
#: Of lua/lib, in the order in which they build on each other.
PARTS = ("base", "outputs", "transitions", "epochs", "claims")
ROOMY = frozenset({"submit"})  #: what is refused when the broker has no room


class Scripts:
    """Calls at the broker of `url`, each bounded by `timeout`; raises relayq's errors for redis-py's.

    `settings` go with every call, and `clock` replaces the server's time (tests).
    """

    def __init__(
        self,
        url: str,
        settings: tuple[str, ...],
        *,
        timeout: float,
        connect_timeout: float,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.url = url
        self._settings = settings
        self._clock = clock
        with address_checked(url):
            # Any: redis-py types its clients for both sync and async use, and its connections not at all.
            self.redis: Any = redis.Redis.from_url(
                url,
                socket_timeout=timeout,
                socket_connect_timeout=connect_timeout,
                socket_keepalive=True,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
            )
        self._text = functools.cache(_script)

    def close(self) -> None:
        """Drop the connections."""
        self.redis.close()

    def call(self, name: str, *args: Any) -> Any:
        """The answer of a script. Raises BrokerUnavailable, BrokerRefused."""
        text, digest = self._text(name)
        now = "" if self._clock is None else repr(self._clock())
        with translated(self.url):
            try:
                return self.ask("EVALSHA", digest, "0", now, *self._settings, *args)
            except redis.exceptions.NoScriptError:
                # The first call after a broker's start: the moment to look whether it will do.
                self._check_version()
                return self.ask("EVAL", text, "1", "relayq:look", now, *self._settings, *args)

    def ask(self, *command: Any) -> Any:
        """One command and its answer, on a connection of its own for that time."""
        # hiredis reads a number's text with signals enabled, and crashes if a handler raises there (Ctrl-C does).
        words = [word if isinstance(word, bytes) else str(word) for word in command]
        pool = self.redis.connection_pool
        connection = pool.get_connection()
        try:
            connection.send_command(*words)
            return connection.read_response()
        except redis.exceptions.ResponseError:
            raise
        except BaseException:
            # Interrupted between question and answer: the next question must not get this answer.
            connection.disconnect()
            raise
        finally:
            pool.release(connection)

    def _check_version(self) -> None:
        lines = self.ask("INFO", "server").decode().splitlines()
        info = dict(line.split(":", 1) for line in lines if ":" in line)
        version = str(info.get("valkey_version") or info.get("redis_version"))
        if tuple(int(part) for part in version.split(".")[:2]) < MIN_VERSION:
            raise BrokerRefused(
                f"the broker runs Redis {version}; relayq needs 6.2 or newer. "
                "Update it, or use the one relayq brings: relayq up"
            )


def _script(name: str) -> tuple[str, str]:
    folder = files("relayq.store") / "lua"
    parts = [folder / "lib" / f"{part}.lua" for part in (PARTS if name in ROOMY else ("room", *PARTS))]
    text = "".join(file.read_text("utf-8") for file in (*parts, folder / f"{name}.lua"))
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
