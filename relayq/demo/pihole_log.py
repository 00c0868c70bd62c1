"""Makes a day of a Pi-hole's query log, the same one for the same seed, and knows what a report of it must say.

python -m relayq.demo.pihole_log > pihole.log
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

# How often each is asked for, relative to the others.
BLOCKED_DOMAINS = {
    "ads.doubleclick.example": 30,
    "telemetry.television.example": 22,
    "metrics.phone.example": 14,
    "tracker.analytics.example": 9,
    "pixel.social.example": 6,
    "beacon.shop.example": 3,
}
DOMAINS = {
    "www.wikipedia.example": 25,
    "time.pool.example": 20,
    "video.stream.example": 18,
    "mail.provider.example": 12,
    "api.weather.example": 8,
    "packages.linux.example": 4,
}
# Client → (how often it asks, which part of that is for blocked domains).
CLIENTS = {
    "192.168.1.23": (30, 0.45),  # the television
    "192.168.1.31": (22, 0.25),
    "192.168.1.40": (16, 0.10),
    "fd00:5ec:1::7a": (12, 0.30),
    "192.168.1.2": (6, 0.0),
}
#: queries of a day, from midnight on
HOURS = (1, 1, 1, 1, 1, 2, 5, 9, 8, 6, 6, 7, 9, 7, 6, 6, 8, 11, 14, 19, 24, 17, 9, 4)
BLOCKED_BY = ("gravity blocked", "gravity blocked", "gravity blocked", "/etc/pihole/gravity.list", "regex blocked")


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is in a generated log."""

    lines: int
    queries: int
    blocked_domains: Mapping[str, int]
    clients: Mapping[str, tuple[int, int]]  #: client → (queries, how many of them were blocked)
    busiest_hour: str  #: as "Nov 23 20:00"
    busiest_queries: int


@dataclass(frozen=True)
class _Exchange:
    """A question and its answers, as dnsmasq logs them at one instant."""

    client: str
    blocked: str | None
    lines: tuple[str, ...]


def generate(lines: int = 10_000, seed: int = 812) -> tuple[str, Truth]:
    """A log of `lines` lines, or at most two more, and its truth."""
    # A generator that anybody can repeat is the point; nothing is secret.
    random_ = random.Random(seed)  # noqa: S311
    exchanges: list[_Exchange] = []
    count = 0
    while count < lines:
        exchanges.append(_exchange(random_))
        count += len(exchanges[-1].lines)
    hours = random_.choices(range(24), HOURS, k=len(exchanges))
    instants = sorted(hour * 3600 + random_.randrange(3600) for hour in hours)
    text = "".join(
        f"Nov 23 {at // 3600:02}:{at // 60 % 60:02}:{at % 60:02} dnsmasq[812]: {line}\n"
        for at, exchange in zip(instants, exchanges, strict=True)
        for line in exchange.lines
    )
    return text, _truth(exchanges, instants, count)


def _exchange(random_: random.Random) -> _Exchange:
    client = _one(random_, {client: weight for client, (weight, _) in CLIENTS.items()})
    blocked = random_.random() < CLIENTS[client][1]
    domain = _one(random_, BLOCKED_DOMAINS if blocked else DOMAINS)
    sort = random_.choice(("A", "A", "AAAA"))
    question = f"query[{sort}] {domain} from {client}"
    if blocked:
        zero = "0.0.0.0" if sort == "A" else "::"  # noqa: S104 (what a Pi-hole answers, not an address to bind)
        return _Exchange(client, domain, (question, f"{random_.choice(BLOCKED_BY)} {domain} is {zero}"))
    number = random_.randrange(1, 255)
    address = f"203.0.113.{number}" if sort == "A" else f"2001:db8::{number:x}"
    if random_.random() < 0.5:
        return _Exchange(client, None, (question, f"cached {domain} is {address}"))
    return _Exchange(client, None, (question, f"forwarded {domain} to 1.1.1.1", f"reply {domain} is {address}"))


def _truth(exchanges: list[_Exchange], instants: list[int], lines: int) -> Truth:
    queries = Counter(exchange.client for exchange in exchanges)
    blocked = Counter(exchange.client for exchange in exchanges if exchange.blocked)
    hours = Counter(at // 3600 for at in instants)
    hour = min(hours, key=lambda hour: (-hours[hour], hour))
    return Truth(
        lines=lines,
        queries=len(exchanges),
        blocked_domains=Counter(exchange.blocked for exchange in exchanges if exchange.blocked),
        clients={client: (count, blocked[client]) for client, count in queries.items()},
        busiest_hour=f"Nov 23 {hour:02}:00",
        busiest_queries=hours[hour],
    )


def _one(random_: random.Random, weights: Mapping[str, int]) -> str:
    return random_.choices(list(weights), list(weights.values()))[0]


if __name__ == "__main__":
    sys.stdout.write(generate()[0])
