"""Checks for others who manage or end Redis and relayq here: second units, and the health scripts of relayq 1.x."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import psutil

from relayq.doctor.context import Context
from relayq.doctor.findings import Finding, check, ok, problem, warning
from relayq.self_starters import SelfStarter, scripts_in, self_starters

_OURS = re.compile(
    r"^(relayq-(worker|server|redis)\.|com\.user\.relayq\.(worker|server)\.plist$|redis-server@relayq\.)"
)
_SUBJECT = re.compile(r"redis|valkey|celery|relayq", re.IGNORECASE)
_ENDS = re.compile(
    r"\b(restart|try-restart|stop|kill|pkill|killall|shutdown|flushall|flushdb|kickstart|bootout)\b", re.I
)
_WATCHES = re.compile(r"monitor|health|watchdog|keep-?alive|check", re.IGNORECASE)
_CONTAINER = re.compile(r"docker|containerd|libpod|kubepods|lxc|machine\.slice|payload")


@check("redis managers")
def managers(context: Context) -> Iterator[Finding]:
    """One Redis a port, and one manager for each."""
    ports = _ports()
    fighting = {port: names for port, names in ports.items() if len(names) > 1}
    for port, names in fighting.items():
        yield problem(
            f"{len(names)} Redis processes here use port {port} ({', '.join(names)}): whoever connects reaches one or "
            "the other",
            f"sudo ss -ltnp 'sport = :{port}'",
        )
    failing = list(_failing_units(context))
    for unit, state in failing:
        yield problem(
            f"{unit} {state}: two units for one Redis fight for its port", f"sudo systemctl disable --now {unit}"
        )
    if ports and not fighting and not failing:
        yield ok(f"{len(ports)} Redis here, each on a port of its own" if len(ports) > 1 else "one Redis here")


@check("health monitors")
def monitors(context: Context) -> Iterator[Finding]:
    """Nobody restarts or ends Redis or the worker but systemd or launchd."""
    found = 0
    home = Path.home() if context.root == Path("/") else context.path("home")
    for starter in self_starters(context.root, home, context.ask):
        if _OURS.match(starter.name) or context.receipt.knows(starter.file) or "relayq doctor" in starter.text:
            continue
        if _ends_ours(context, starter):
            yield problem(
                f"{starter.name} restarts or ends Redis or relayq by itself; systemd does that, and two managers fight",
                starter.end,
            )
        elif _SUBJECT.search(starter.name) and _WATCHES.search(starter.name):
            yield warning(f"{starter.name} watches Redis or relayq: it must not restart anything", starter.end)
        else:
            continue
        found += 1
    if not found:
        yield ok("none but the system's own")


def _ports() -> dict[str, list[str]]:
    """The Redis processes of this machine (not of its containers), by the port in their title."""
    ports: dict[str, list[str]] = defaultdict(list)
    for process in psutil.process_iter(["name", "cmdline", "pid"]):
        if process.info["name"] in {"redis-server", "valkey-server"}:
            title = re.search(r"\S:(\d+)\b", " ".join(process.info["cmdline"] or ()))
            unit = _place(process.info["pid"])
            if title and unit is not None:
                ports[title[1]].append(unit or f"process {process.info['pid']}")
    return ports


def _place(pid: int) -> str | None:
    """The systemd unit of a process, or ""; None if it has a network of its own: its ports are not ours."""
    try:
        if Path(f"/proc/{pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink():
            return None
    except PermissionError:
        pass  # another user's: its group says enough
    except OSError:
        return ""  # a Mac, or it has just ended
    try:
        group = Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return ""
    if _CONTAINER.search(group):
        return None
    unit = re.search(r"/([^/]+\.service)\s*$", group, re.MULTILINE)
    return unit[1] if unit else ""


def _failing_units(context: Context) -> Iterator[tuple[str, str]]:
    listed = context.ask("systemctl", "list-units", "--all", "--plain", "--no-legend", "--no-pager", "--type=service")
    for line in (listed or "").splitlines():
        unit, _, active, state, *_ = [*line.split(), "", "", "", ""]
        if not re.match(r"(redis|valkey)", unit) or unit == context.broker_unit:
            continue
        if state == "auto-restart":
            yield unit, "is started again and again"
        elif active == "failed":
            yield unit, "has failed"


def _ends_ours(context: Context, starter: SelfStarter) -> bool:
    scripts = scripts_in(starter.text, context.root)
    lines = [
        line for text in (starter.text, *scripts) for line in text.splitlines() if not line.strip().startswith("#")
    ]
    everything = "\n".join(lines)
    return bool(_SUBJECT.search(everything) and _ENDS.search(everything))
