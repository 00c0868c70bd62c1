"""Checks of the way to the broker: Tailscale, names, the broker's answer and its clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from relayq import tailnet
from relayq.doctor.context import Context
from relayq.doctor.findings import Finding, check, ok, problem, warning
from relayq.errors import BrokerRefused, BrokerUnavailable

TAILNETS = (ip_network("100.64.0.0/10"), ip_network("fd7a:115c:a1e0::/48"))
FAR = 0.25  #: seconds of round trip that a private network seldom has
SKEW = 2.0  #: seconds
KEY_DAYS = 14
DAY = 86400.0


def in_tailnet(address: str) -> bool:
    """Whether Tailscale gives out such addresses."""
    return any(ip_address(address) in network for network in TAILNETS)


@check("tailscale")
def connection(context: Context) -> Iterator[Finding]:
    """This machine is connected, if the broker can only be reached so."""
    found = context.tailnet
    what, command = tailnet.remedy(found.state)
    needed = context.is_broker or context.host.endswith(".ts.net") or any(map(in_tailnet, context.addresses))
    if found.online:
        yield ok(f"connected as {found.name}, {found.address}")
    elif needed:
        yield problem(f"{what}; without it this machine is cut off from the others", command)
    else:
        yield ok(f"{what}, and is not needed here")


@check("tailscale key")
def key(context: Context) -> Iterator[Finding]:
    """It does not expire unnoticed: then somebody must log in on that machine again."""
    found = context.tailnet
    if not found.online:
        return
    if found.key_expires_at is None:
        yield ok("does not expire")
        return
    days = (found.key_expires_at - time.time()) / DAY
    if days > KEY_DAYS:
        yield ok(f"expires in {days:.0f} days")
        return
    yield warning(
        f"expires in {max(0, days):.0f} days; then {found.name} is cut off. Disable its key expiry at "
        "https://login.tailscale.com/admin/machines"
    )


@check("dns")
def dns(context: Context) -> Iterator[Finding]:
    """The broker's name leads to an address."""
    if not _is_name(context.host):
        return
    if context.addresses:
        yield ok(f"{context.host} is {context.addresses[0]}")
        return
    peer = next((p for p in context.tailnet.peers if context.host in (p.name, p.dns_name)), None)
    if peer is not None and peer.address:
        yield problem(
            f'nobody here knows the name "{context.host}", which is {peer.address} in the tailnet: switch Tailscale\'s '
            "names on, or set broker.host to that address",
            "tailscale set --accept-dns=true",
        )
    else:
        yield problem(f'nobody here knows the name "{context.host}": correct broker.host, or set it to an IP address')


@check("broker")
def broker(context: Context) -> Iterator[Finding]:
    """It answers, lets us in and speaks our language."""
    if not context.url:
        if not context.trouble:
            yield problem("no broker is configured: join one, or start one on this machine", "relayq up")
        return
    if _is_name(context.host) and not context.addresses:
        return  # the check "dns" has said so
    try:
        health = context.ask_broker()
        context.ask_workers()
    except BrokerRefused as error:
        yield problem(str(error))
        return
    except BrokerUnavailable as error:
        yield _away(context, str(error))
        return
    took = f"{health.round_trip * 1000:.{0 if health.round_trip >= 0.01 else 1}f} ms"
    where = f"{context.host}:{context.port}" if context.host else context.url
    if health.round_trip > FAR:
        yield warning(f"{where} answers after {took}, which is long", _ask_for_the_way(context))
    else:
        yield ok(f"{where} answers in {took}")


@check("clock")
def clock(context: Context) -> Iterator[Finding]:
    """Ours and the broker's tell the same time, to people who read times."""
    if context.health is None:
        return
    ahead, unsure = context.health.clock_ahead, context.health.round_trip / 2
    if abs(ahead) <= SKEW + unsure:
        yield ok(f"within {max(abs(ahead), unsure, 0.001):.1g} s of the broker's")
        return
    yield warning(
        f"this machine's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the broker's; jobs do not "
        "mind, people and certificates do",
        "sudo sntp -sS time.apple.com" if context.platform == "darwin" else "sudo timedatectl set-ntp true",
    )


def _away(context: Context, said: str) -> Finding:
    sentence = said.partition(". Is ")[0]
    peer = next((p for p in context.tailnet.peers if set(p.addresses) & set(context.addresses)), None)
    if peer is not None and not peer.online:
        return problem(f"{sentence}: {peer.name}, its machine, is not connected to the tailnet")
    return problem(sentence, _start(context))


def _start(context: Context) -> str | None:
    """What brings it back, or the next thing to try."""
    if (context.settings.home / "broker" / "broker.conf").exists() and context.runs_redis:
        return "relayq up"
    if context.is_broker:
        return f"sudo systemctl restart {context.broker_unit}"
    if context.runs_redis:
        return "sudo systemctl restart redis-server"
    return _ask_for_the_way(context)


def _ask_for_the_way(context: Context) -> str | None:
    host = context.host
    return f"tailscale ping {host}" if any(map(in_tailnet, context.addresses)) else f"ping -c 3 {host}"


def _is_name(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return bool(host)
    return False
