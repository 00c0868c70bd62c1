"""What only an administrator may do at the broker: users, and where it listens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis

from relayq.errors import BrokerRefused, Refused
from relayq.store import acl
from relayq.store.trouble import address_checked, translated

_TIMEOUT = 4.0


class Admin:
    """A connection as the administrator. Raises BrokerUnavailable, BrokerRefused."""

    def __init__(self, url: str) -> None:
        self.url = url
        with address_checked(url):
            self._redis: Any = redis.Redis.from_url(
                url, socket_timeout=_TIMEOUT, socket_connect_timeout=2.0, decode_responses=True, protocol=2
            )

    def close(self) -> None:
        """Drop the connection."""
        self._redis.close()

    # ── users ──

    def put_user(self, user: str, role: acl.Role, password_sha256: str) -> None:
        """Make a user, or give it another password; kept over restarts."""
        self.do("ACL", "SETUSER", user, "reset", "on", f"#{password_sha256}", *acl.rules(role))
        self._keep()

    def drop_user(self, user: str) -> bool:
        """Remove a user and end its connections, at once; whether there was one."""
        found = bool(self.do("ACL", "DELUSER", user))  # ends its connections as well
        if found:
            self._keep()
        return found

    def users(self) -> list[str]:
        """Their names."""
        return [str(name) for name in self.do("ACL", "USERS")]

    def bind(self, addresses: Sequence[str]) -> bool:
        """Have the broker listen on these addresses, without a restart; whether that was a change."""
        wanted = " ".join(addresses)
        now = self.do("CONFIG", "GET", "bind")
        if len(now) > 1 and now[1] == wanted:
            return False
        self.do("CONFIG", "SET", "bind", wanted)
        return True

    def keys(self, pattern: str) -> list[str]:
        """The keys that look so, in order."""
        with translated(self.url):
            return sorted(self._redis.scan_iter(pattern, count=1000))

    @contextmanager
    def together(self) -> Iterator[Any]:
        """Commands that are done together or not at all: a pipeline of redis-py."""
        with translated(self.url), self._redis.pipeline() as pipe:
            yield pipe
            pipe.execute()

    # ── underneath ──

    def _keep(self) -> None:
        try:
            self.do("ACL", "SAVE")
        except BrokerRefused as error:
            # A broker without an ACL file forgets its users with its next start; that is no way to let a machine in.
            raise Refused(
                f"the broker at {self.url.rpartition('@')[2]} keeps no users ({error}). "
                "Give it an aclfile, or set it up with: relayq setup broker"
            ) from error

    def do(self, *command: Any) -> Any:
        """One command and its answer."""
        with translated(self.url):
            return self._redis.execute_command(*command)
