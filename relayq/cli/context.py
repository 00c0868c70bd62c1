"""What the verbs of one command line share: settings, client and store, made when first needed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import click

if TYPE_CHECKING:
    from relayq.cli.patience import Patient
    from relayq.client import Client
    from relayq.config import Settings
    from relayq.handle import JobHandle
    from relayq.store import Store

#: Seconds a call to the broker may take: with the start of Python, an answer within five.
STORE_TIMEOUT = 3.0


class App:
    """One command line's tools. Tests give it a client of their own."""

    def __init__(self, client: Client | None = None) -> None:
        self._client = client
        self._settings: Settings | None = None
        self._patient: Patient | None = None
        self._reached = client is not None
        self.stands_for_job = False  #: the exit code is the job's: what else goes wrong is 255

    @property
    def settings(self) -> Settings:
        """Raises ConfigError."""
        if self._client is not None:
            return self._client.settings
        if self._settings is None:
            from relayq.config import load

            self._settings = load()
        return self._settings

    @property
    def client(self) -> Client:
        """For verbs that submit: it waits for a broker that is away. Raises ConfigError, BrokerRefused."""
        if self._client is None:
            settings = self.settings
            with _leaving_at_once():
                from relayq.cli.patience import Patient
                from relayq.client import Client, open_store

                self._patient = Patient(open_store(settings, timeout=STORE_TIMEOUT))
            self._client = Client(settings, cast("Store", self._patient))
        return self._client

    @property
    def store(self) -> Store:
        """For verbs that look: a broker that is away is an answer. Raises as its calls do."""
        if not self._reached:
            from relayq.cli.patience import check_name

            check_name(self.settings.broker_url)
            self._reached = True
        return self.client.store

    def job(self, id: str) -> JobHandle:
        """The job whose id begins like this, or the "last". Raises UnknownJob, AmbiguousJob, BrokerUnavailable."""
        assert self.store
        return self.client.get(id.removesuffix("…"))  # as `relayq list` shortens it

    def jobs(self, ids: Iterable[str]) -> tuple[list[JobHandle], int]:
        """Those of these jobs that there are, and the exit code for the others, which are named on stderr.

        Raises BrokerUnavailable.
        """
        from relayq.cli.exits import report
        from relayq.errors import BadSpec, UnknownJob

        found, code = [], 0
        for id in ids:
            try:
                found.append(self.job(id))
            except (UnknownJob, BadSpec) as error:
                code = max(code, report(error))
        return found, code

    def be_patient(self) -> None:
        """From now on a broker that goes away does not end what follows a job."""
        if self._patient is not None:
            self._patient.patient = True


def administration(settings: Settings) -> str:
    """The broker's URL for its administrator. Raises ConfigError where that is not configured."""
    from relayq.config import broker_url_file
    from relayq.errors import ConfigError

    if settings.admin_url is None:
        # Whoever starts a broker with `relayq up` may do everything there.
        if settings.broker_url and str(broker_url_file(settings.home)) in settings.broker_source:
            return settings.broker_url
        raise ConfigError(
            "this needs the broker's administrator, who is configured on its machine only (broker.admin_url). "
            "Do it there, or make this machine a broker with: relayq setup broker"
        )
    return settings.admin_url


@contextmanager
def _leaving_at_once() -> Iterator[None]:
    """While entered, Ctrl-C ends us silently: others' modules swallow a KeyboardInterrupt while they are loaded."""
    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


pass_app = click.make_pass_decorator(App, ensure=True)
