"""How a machine joins: with a token, or with a code that somebody approves; it ends with a broker's URL that works."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from relayq.errors import BrokerUnavailable, SetupError
from relayq.store.redis import RedisStore

_TIMEOUT = 10.0
_ASK_EVERY = 2.0  #: seconds between two looks whether somebody has approved


@dataclass(frozen=True, kw_only=True)
class Joined:
    """What a machine that was let in has to know."""

    broker_url: str  #: with its own user and password
    name: str
    labels: tuple[str, ...]
    version: str  #: of relayq on the broker's machine


def join(server_url: str, *, token: str, identity: str, name: str | None = None, labels: Sequence[str] = ()) -> Joined:
    """Redeem a token. Raises SetupError with the server's sentence, or if the broker cannot be reached from here."""
    password = secrets.token_urlsafe(32)
    answer = _post(server_url, "/api/join", {"token": token, **_self(identity, name, labels, password)})
    return _joined(server_url, answer, password)


def ask(
    server_url: str,
    *,
    identity: str,
    name: str,
    labels: Sequence[str] = (),
    show: Callable[[str], None],
    patience: float = 15 * 60.0,
) -> Joined:
    """Ask to be let in: `show` is given the code for the owner, and this waits until somebody has approved it."""
    password = secrets.token_urlsafe(32)
    asked = _post(server_url, "/api/ask", _self(identity, name, labels, password))
    show(str(asked["code"]))
    give_up_at = time.monotonic() + patience
    while time.monotonic() < give_up_at:
        answer = _post(server_url, "/api/answer", {"ticket": asked["ticket"]})
        if answer:
            return _joined(server_url, answer, password)
        time.sleep(_ASK_EVERY)
    raise SetupError("nobody has approved the code. Start this again for a new one")


def is_server(server_url: str, timeout: float = 2.0) -> bool:
    """Whether a relayq server answers there."""
    try:
        with urllib.request.urlopen(f"{server_url}/echo", timeout=timeout) as response:  # noqa: S310 - http by design
            return bool(json.load(response).get("relayq"))
    except (OSError, ValueError, AttributeError):
        return False


def _self(identity: str, name: str | None, labels: Sequence[str], password: str) -> dict[str, Any]:
    # Only the hash travels: it is no secret.
    sha256 = hashlib.sha256(password.encode()).hexdigest()
    return {"identity": identity, "name": name, "labels": list(labels), "password_sha256": sha256}


def _joined(server_url: str, answer: dict[str, Any], password: str) -> Joined:
    broker, host = answer["broker"], urlsplit(server_url).hostname
    place = f"[{host}]" if host and ":" in host else host
    url = f"redis://{quote(answer['user'])}:{quote(password, safe='')}@{place}:{broker['port']}/{broker['db']}"
    _check(url)
    return Joined(
        broker_url=url, name=answer["name"], labels=tuple(answer["labels"]), version=str(answer.get("version", ""))
    )


def _check(url: str) -> None:
    """The address must work from here, not only from where the server is."""
    store = RedisStore(url, timeout=5.0)
    try:
        store.counts()
    except BrokerUnavailable as error:
        raise SetupError(f"this machine was let in, but: {error}") from error
    finally:
        store.close()


def _post(server_url: str, path: str, content: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - http by design: the network is the tailnet
        server_url.rstrip("/") + path, json.dumps(content).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310
            found = json.load(response)
    except urllib.error.HTTPError as error:
        raise SetupError(_said(error)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise SetupError(
            f"the server at {server_url} does not answer ({reason}). Is this machine on its network "
            "(tailscale status), and does it run there (relayq service status server)?"
        ) from None
    if not isinstance(found, dict):
        raise SetupError(f"what answers at {server_url} is no relayq server")
    return found


def _said(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"the server answered {error.code} {error.reason}"
