#!/usr/bin/env python3
"""Reads a Pi-hole (dnsmasq) query log and says what was blocked, for whom, and when the network was busiest.

    pihole_report.py [--top N] [--json] [LOG]

LOG is a file, also a .gz one; without it, the file that the environment's PIHOLE_LOG names, else standard input.
Needs nothing but Python 3.8: it may be sent to any machine. What it cannot read it counts and passes over.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

# "Nov 23 10:15:02 dnsmasq[812]: ", and with log-queries=extra a number and the client's address and port as well.
LINE = re.compile(r"(\w{3} [ \d]\d \d\d):\d\d:\d\d dnsmasq\[\d+\]: (?:\d+ \S+/\d+ )?(.+)")
QUERY = re.compile(r"query\[\w+\] (\S+) from (\S+)")
# Pi-hole 5 says "blacklisted" where 6 says "denied"; 4 named the list's file.
BLOCKED = re.compile(
    r"(?:gravity blocked|regex (?:blocked|blacklisted|denied)|exactly (?:blacklisted|denied)"
    r"|/etc/pihole/(?:gravity|black)\.list) (\S+) is "
)


class Report(NamedTuple):
    """What a log says. Counters are complete; what is shown is chosen when it is written."""

    lines: int
    unreadable: int  #: lines that are not dnsmasq's
    queries: Counter[str]  #: by client
    blocked: Counter[str]  #: by client; answers whose question is not in the log are nobody's
    domains: Counter[str]  #: blocked answers by domain
    hours: Counter[str]  #: queries by hour, as "Nov 23 10", in the log's order


def read(lines: Iterable[str]) -> Report:
    """The report of a log, read line by line: its length does not matter."""
    report = Report(0, 0, Counter(), Counter(), Counter(), Counter())
    count = unreadable = 0
    asked_by: dict[str, str] = {}  # domain → the last client that asked; the answer to a blocked one follows at once
    for line in lines:
        count += 1
        found = LINE.match(line)
        if not found:
            unreadable += bool(line.strip())
            continue
        hour, event = found.groups()
        if query := QUERY.match(event):
            domain, client = query[1].lower(), query[2]
            asked_by[domain] = client
            report.queries[client] += 1
            report.hours[hour] += 1
        elif blocked := BLOCKED.match(event):
            domain = blocked[1].lower()
            report.domains[domain] += 1
            asker = asked_by.pop(domain, None)
            if asker is not None:
                report.blocked[asker] += 1
    return report._replace(lines=count, unreadable=unreadable)


def ranked(counter: Counter[str]) -> list[tuple[str, int]]:
    """Most first; equal ones by name."""
    return sorted(counter.items(), key=lambda item: (-item[1], item[0]))


def busiest(report: Report) -> dict[str, Any] | None:
    """The hour with most queries, the first of equal ones; None if there were none."""
    if not report.hours:
        return None
    hour = max(report.hours, key=report.hours.__getitem__)
    return {"hour": f"{hour}:00", "queries": report.hours[hour]}


def as_data(report: Report, top: int) -> dict[str, Any]:
    """The report for programs: what --json prints."""
    queries, blocked = sum(report.queries.values()), sum(report.domains.values())
    return {
        "lines": report.lines,
        "unreadable": report.unreadable,
        "queries": queries,
        "blocked": blocked,
        "blocked_share": _share(blocked, queries),
        "busiest_hour": busiest(report),
        "top_blocked": [{"domain": domain, "count": count} for domain, count in ranked(report.domains)[:top]],
        "clients": [
            {
                "client": client,
                "queries": count,
                "blocked": report.blocked[client],
                "blocked_share": _share(report.blocked[client], count),
            }
            for client, count in ranked(report.queries)
        ],
    }


def as_text(report: Report, top: int) -> str:
    """The report for people."""
    data = as_data(report, top)
    hour = data["busiest_hour"]
    text = [
        f"{data['queries']} queries from {len(data['clients'])} clients, "
        f"{data['blocked']} blocked ({data['blocked_share']:.1%})",
        f"busiest hour: {hour['hour']} with {hour['queries']} queries" if hour else "busiest hour: none",
    ]
    if data["unreadable"]:
        text.append(f"{data['unreadable']} of {data['lines']} lines are not dnsmasq's")
    if data["top_blocked"]:
        text += ["", f"{'BLOCKED':>8}  DOMAIN"]
        text += [f"{row['count']:>8}  {_plain(row['domain'])}" for row in data["top_blocked"]]
    if data["clients"]:
        text += ["", f"{'QUERIES':>8}  {'BLOCKED':>8}  {'SHARE':>6}  CLIENT"]
        text += [
            f"{row['queries']:>8}  {row['blocked']:>8}  {row['blocked_share']:>6.1%}  {_plain(row['client'])}"
            for row in data["clients"]
        ]
    return "\n".join(text)


def main(argv: list[str] | None = None) -> int:
    """Read a log, print its report. 2 if the log cannot be read."""
    parser = argparse.ArgumentParser(description="What a Pi-hole query log says.")
    parser.add_argument("log", nargs="?", help="the log; default: $PIHOLE_LOG, else standard input")
    parser.add_argument("--top", type=_count, default=10, metavar="N", help="blocked domains to show (10)")
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(argv)
    log = options.log or os.environ.get("PIHOLE_LOG") or "-"
    try:
        report = _read_file(log)
    except (OSError, EOFError) as error:  # EOFError: a .gz that was cut off
        sys.stderr.write(f"pihole_report: cannot read {log}: {getattr(error, 'strerror', None) or error}\n")
        return 2
    print(json.dumps(as_data(report, options.top), indent=2) if options.json else as_text(report, options.top))
    return 0


def _read_file(log: str) -> Report:
    if log == "-":
        return read(line.decode("utf-8", "replace") for line in sys.stdin.buffer)
    if log.endswith(".gz"):
        with gzip.open(log, "rt", encoding="utf-8", errors="replace") as packed:
            return read(packed)
    with Path(log).open(encoding="utf-8", errors="replace") as plain:
        return read(plain)


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError(text)
    return value


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def _plain(text: str) -> str:
    # A log holds what strangers sent: nothing of it may steer the terminal.
    return "".join(char if char.isprintable() else "?" for char in text)


if __name__ == "__main__":
    sys.exit(main())
