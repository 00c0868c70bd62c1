"""A broker that is away: asked again by whoever follows a job, and never waited for by the others."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from relayq.errors import BrokerRefused, BrokerUnavailable
from relayq.store import Store

NAME_PATIENCE = 3.0  #: seconds for the name service


class Patient:
    """A store; once it is `patient`, what follows a job asks again until it is answered."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._complained = False
        self.patient = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def output(self, *args: Any, **options: Any) -> Any:
        """As the store, but waiting."""
        return self._ask("output", *args, **options)

    def get(self, *args: Any, **options: Any) -> Any:
        """As the store, but waiting."""
        return self._ask("get", *args, **options)

    def wait(self, *args: Any, **options: Any) -> Any:
        """As the store: who waits there says by itself that the broker is away, and need not be told again."""
        try:
            answer = self._store.wait(*args, **options)
        except BrokerUnavailable:
            self._complained = True
            raise
        self._complained = False
        return answer

    def _ask(self, call: str, *args: Any, **options: Any) -> Any:
        while True:
            try:
                answer = getattr(self._store, call)(*args, **options)
            except BrokerRefused:
                raise
            except BrokerUnavailable as error:
                if not self.patient:
                    raise
                if not self._complained:
                    from relayq.cli.screen import message

                    message(f"{error}. Still waiting …")
                self._complained = True
                time.sleep(0.5)
            else:
                self._complained = False
                return answer


def check_name(url: str | None) -> None:
    """Raise BrokerUnavailable if the broker's name cannot be looked up in time: no socket timeout covers that."""
    host = urlsplit(url or "").hostname
    if not host or host.replace(".", "").isdigit() or ":" in host:
        return
    # A daemon thread: a name service that does not answer cannot be interrupted, only left.
    asking = threading.Thread(target=_look_up, args=(host,), daemon=True)
    asking.start()
    asking.join(NAME_PATIENCE)
    if asking.is_alive():
        raise BrokerUnavailable(
            f"the name {host} of the broker cannot be looked up: no answer within {NAME_PATIENCE:g} s. "
            "Is this machine connected to the network of the others?"
        )


def _look_up(host: str) -> None:
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return  # whoever connects says so better
