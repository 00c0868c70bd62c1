"""Gets this machine let in by the broker, if it is not: by a token, by its own administrator, or by a code."""

from __future__ import annotations

from contextlib import closing
from urllib.parse import urlsplit

from relayq.client import open_store
from relayq.config import Settings, broker_url_file
from relayq.effects import Effects
from relayq.errors import BrokerRefused, BrokerUnavailable, SetupError
from relayq.setup import joining
from relayq.setup.joining import Joined
from relayq.store import acl
from relayq.store.admin import Admin
from relayq.store.enrolment import Enrolment
from relayq.worker.identity import identity


def admit(
    written: Settings,
    *,
    server: str | None,
    token: str | None,
    name: str | None,
    labels: tuple[str, ...],
    settled: bool,
    effects: Effects,
) -> Joined | None:
    """Be let in; None if the access that config.yml has does. `settled`: it has worked here before.

    Raises SetupError, with the line to paste elsewhere, and BrokerUnavailable if our access cannot be tried.
    """
    trouble = _trouble(written, settled)
    name = name or (written.worker_name if "worker_name" in written.sources else None)
    if trouble is None and (token is None or _joined_there(written, server, name)):
        if token is not None:
            effects.say("this machine has joined already; the token is not used")
        return None
    if server is None:
        raise SetupError(
            "no broker is known here. On the broker's machine run: relayq token new   and paste here the line it "
            "prints: curl -fsSL http://BROKER:7117/join | RELAYQ_TOKEN=... sh"
        )
    if effects.dry_run:
        effects.say(f"  would join at {server}" + (" with the token" if token else ", with a code to be approved"))
        return None
    me = identity(written.home)
    token = token or (_own_token(written.admin_url) if written.admin_url else None)
    if token is None:
        effects.say(f"asking {server} to be let in ({trouble})")
        return joining.ask(
            server, identity=me, name=name or written.worker_name, labels=labels, show=lambda code: _show(code, effects)
        )
    return _redeem(server, token, me, name, written.worker_name, labels)


def _joined_there(written: Settings, server: str | None, name: str | None) -> bool:
    """Whether the access we have, which works, is what joining there under this name would give."""
    have = urlsplit(written.broker_url or "")
    there = server is None or urlsplit(server).hostname == have.hostname
    return there and have.username == acl.worker_user(name or written.worker_name)


def _own_token(admin_url: str) -> str:
    """On the broker's machine, its administrator lets it in."""
    with closing(Admin(admin_url)) as admin:
        return Enrolment(admin).new_token(seconds=60.0).secret


def _redeem(server: str, token: str, me: str, name: str | None, fallback: str, labels: tuple[str, ...]) -> Joined:
    """Without a name of its own, a machine is called as the token says, or else as its host."""
    try:
        return joining.join(server, token=token, identity=me, name=name, labels=labels)
    except SetupError as error:
        if name or not str(error).startswith("name or labels"):
            raise
        return joining.join(server, token=token, identity=me, name=fallback, labels=labels)


def _show(code: str, effects: Effects) -> None:
    effects.say(f"on the broker's machine, within 15 minutes, run:  relayq token approve {code}")


def _trouble(settings: Settings, settled: bool) -> str | None:
    """Why the access we have does not do; None if it does. Raises BrokerUnavailable if that cannot be known."""
    if settings.broker_url is None or str(broker_url_file(settings.home)) in settings.broker_source:
        return "no broker is configured here"
    if settings.admin_url and urlsplit(settings.broker_url).username == acl.SUBMITTER:
        return "this machine's access is a person's, not a worker's"
    try:
        with closing(open_store(settings, timeout=5.0)) as store:
            store.counts()
    except BrokerRefused:
        return "the broker does not let this machine in"
    except BrokerUnavailable:
        if not settled and not settings.server_url and urlsplit(settings.broker_url).username is None:
            return "the broker in config.yml does not answer"  # of 1.x, perhaps: the server decides
        raise
    return None
