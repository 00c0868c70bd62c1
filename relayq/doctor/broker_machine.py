"""Checks of the machine that serves the others: where Redis listens, its unit, and the server for joining."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from relayq.doctor.context import Context
from relayq.doctor.findings import Finding, Fix, check, ok, problem, warning
from relayq.doctor.network import in_tailnet
from relayq.doctor.server import listens
from relayq.errors import RelayqError, SetupError
from relayq.store import health

_EVERYWHERE = {"*", "0.0.0.0", "::", "::*"}  # noqa: S104 - looked for, not bound


@check("binding")
def binding(context: Context) -> Iterator[Finding]:
    """Redis listens where the others come from, and nowhere else."""
    if not context.is_broker or context.health is None:
        return
    bound = _bound(context)
    own = context.tailnet.address if context.tailnet.online else None
    wrong = list(_wrong(bound, context.tailnet.addresses)) if bound else []
    yield from wrong
    if own and not listens(own, context.port):
        yield problem(f"Redis does not listen on this machine's Tailscale address {own}", "relayq setup broker")
    elif own and not wrong:
        yield ok(f"{own}, port {context.port}")


@check("broker service")
def unit(context: Context) -> Iterator[Finding]:
    """systemd keeps Redis running, and starts it at boot."""
    if not context.is_broker or context.platform == "darwin":
        return
    name = context.broker_unit
    enabled, active = context.ask("systemctl", "is-enabled", name), context.ask("systemctl", "is-active", name)
    if not enabled or enabled == "not-found" or active is None:
        return  # no systemd, or no such unit: set up otherwise
    if active != "active":
        yield problem(f"{name} is {active}", f"sudo systemctl restart {name}")
    if enabled != "enabled":
        yield problem(f"{name} does not start at boot", f"sudo systemctl enable {name}", _enable(name))
    elif active == "active":
        yield ok("runs, and starts at boot")


@check("server")
def server(context: Context) -> Iterator[Finding]:
    """What machines join by, and upgrade from, answers."""
    if not context.server_url:
        return
    restart = "relayq service restart server" if context.is_broker else None
    try:
        version = context.ask_server()
    except SetupError as error:
        yield warning(f"{error}; jobs go on, but nobody can join or upgrade", restart)
        return
    own, port = context.tailnet.address, context.settings.server_port
    if context.is_broker and context.tailnet.online and own and not listens(own, port):
        yield problem(f"the server does not listen on {own}:{port}, so that nobody can join", restart)
    else:
        yield ok(f"{context.server_url} serves {version}")


def _bound(context: Context) -> health.Binding | None:
    known = context.health.binding if context.health else None
    if known is None and context.settings.admin_url:
        try:
            return health.binding(context.settings.admin_url)
        except RelayqError:
            return None
    return known


def _wrong(bound: health.Binding, own: tuple[str, ...]) -> Iterator[Finding]:
    for written in bound.addresses:
        address = written.removeprefix("-")
        if address in _EVERYWHERE:
            sentence = "Redis listens on every network of this machine, not only on Tailscale's"
            yield problem(sentence, "relayq setup broker")
        elif address in own or _is_loopback(address):
            continue
        elif in_tailnet(address):
            if own:
                sentence = f"Redis is bound to {address}, which is no longer this machine's Tailscale address"
                yield problem(sentence, "relayq setup broker")
        else:
            yield warning(f"Redis also listens on {address}, which is not Tailscale's", "relayq setup broker")


def _is_loopback(address: str) -> bool:
    return address == "localhost" or ip_address(address).is_loopback


def _enable(unit: str) -> Fix:
    return lambda effects: effects.run(["systemctl", "enable", unit], why="start the broker at boot", root=True)
