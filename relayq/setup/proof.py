"""Shows that a broker serves those who may and nobody else. Asks; changes nothing."""

from __future__ import annotations

import json
import socket
import time
import urllib.request
from collections.abc import Iterator

import psutil

from relayq.effects import run_command
from relayq.embedded_wire import ask
from relayq.errors import SetupError
from relayq.setup.access import Access
from relayq.store import acl

START_PATIENCE = 30.0  #: seconds until it must answer, beside reading its data
LOADING_PATIENCE = 900.0
_LOOK_EVERY = 0.1
_LOG_LINES = 15


def await_serving(access: Access, port: int, unit: str) -> None:
    """Until the administrator's PING is answered. Raises SetupError with the end of the journal."""
    started = time.monotonic()
    while (answer := _ping(port, acl.ADMIN, access.admin)) != "+PONG":
        patience = LOADING_PATIENCE if answer.startswith("-LOADING") else START_PATIENCE
        if time.monotonic() - started >= patience:
            log = run_command(["journalctl", "-u", unit, "-n", str(_LOG_LINES), "--no-pager", "-o", "cat"], check=False)
            said = f"it says {answer[1:]!r}" if answer else "it does not answer"
            raise SetupError(f"{unit} does not serve: {said}. Its log ends:\n{log.stdout.rstrip()}")
        time.sleep(_LOOK_EVERY)


def check(access: Access, port: int, served: list[str]) -> None:
    """The right ones are let in on loopback and on `served`, others nowhere. Raises SetupError."""
    wrong = list(_wrong(access, port, served))
    if wrong:
        raise SetupError("the broker is not as it must be: " + "; ".join(wrong) + ". See: relayq doctor")


def await_server(port: int, log_command: list[str]) -> None:
    """Until the server says its version on loopback. Raises SetupError with the end of its log."""
    deadline = time.monotonic() + START_PATIENCE
    # What this machine says to itself is no business of a proxy.
    fetch = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
    while True:
        try:
            with fetch(f"http://127.0.0.1:{port}/version", timeout=5) as answer:
                if "wheel" in json.load(answer):
                    return
        except (OSError, ValueError):
            pass
        if time.monotonic() >= deadline:
            log = run_command(log_command, check=False).stdout.rstrip()
            raise SetupError(f"relayq's server does not answer on port {port}. Its log ends:\n{log}")
        time.sleep(_LOOK_EVERY)


def _wrong(access: Access, port: int, served: list[str]) -> Iterator[str]:
    if _ping(port, acl.SUBMITTER, access.submitter) != "+PONG":
        yield "those who submit are not let in"
    for address in ("127.0.0.1", *served):
        if _ping(port, acl.ADMIN, access.admin, address) != "+PONG":
            yield f"it does not answer on {address}"
        if not _ping(port, None, None, address).startswith("-NOAUTH"):
            yield f"on {address} it lets in who has no password"
    for address in own_addresses():
        if address not in served and _listens(address, port):
            yield f"it listens on {address}, which is not its Tailscale address"


def own_addresses() -> list[str]:
    """The addresses of this machine, without loopback."""
    found = [
        a for each in psutil.net_if_addrs().values() for a in each if a.family in (socket.AF_INET, socket.AF_INET6)
    ]
    return [a.address for a in found if not a.address.startswith(("127.", "fe80")) and a.address != "::1"]


def _listens(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=2):
            return True
    except OSError:
        return False


def _ping(port: int, user: str | None, password: str | None, host: str = "127.0.0.1") -> str:
    try:
        return ask(port, password, "PING", host=host, user=user)
    except (OSError, ValueError):
        return ""
