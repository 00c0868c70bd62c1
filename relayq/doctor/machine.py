"""Checks of the machine itself: room on its disks, its temperature, and whether it falls asleep."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from relayq.doctor.context import Context
from relayq.doctor.findings import Finding, check, ok, problem, warning

FULL_BYTES = 100 << 20
FILLING_BYTES = 1 << 30
FILLING_SHARE = 0.1
HOT = 95.0  #: °C; a Raspberry Pi slows down earlier
HOT_PI = 80.0


@check("disk")
def disk(context: Context) -> Iterator[Finding]:
    """There is room for jobs and for what Redis keeps, and it can be written."""
    home, seen, said = context.settings.home, set[int](), 0
    data = context.path("/var/lib/redis-relayq")
    for place in (home, Path(tempfile.gettempdir()), *([data] if data.is_dir() else [])):
        path = _nearest(place)
        trouble = _trouble(place, path)
        if trouble is None and place == home and not os.access(path, os.W_OK):
            trouble = problem(f"you may not write in {path}", f"ls -ld {path}")
        # Several of these may be on one disk, which is full once.
        if trouble is not None and path.stat().st_dev not in seen:
            said += 1
            yield trouble
        seen.add(path.stat().st_dev)
    if not said:
        free = os.statvfs(_nearest(context.settings.home))
        yield ok(f"{free.f_bavail * free.f_frsize / (1 << 30):.1f} GiB free")


@check("temperature")
def temperature(context: Context) -> Iterator[Finding]:
    """It is not so hot that it slows down."""
    degrees = [float(said) / 1000 for said in _zones(context) if re.fullmatch(r"-?\d+", said)]
    if not degrees:
        return
    hottest, limit = max(degrees), HOT_PI if context.is_pi else HOT
    if hottest >= limit:
        yield warning(f"{hottest:.0f} °C: it slows down to cool. Give it air, a heat sink or a fan")
    else:
        yield ok(f"{hottest:.0f} °C")


@check("sleep")
def sleep(context: Context) -> Iterator[Finding]:
    """A machine that works for others stays awake."""
    if not (context.is_worker or context.is_broker):
        return
    if context.platform == "darwin":
        yield from _mac_sleep(context)
    elif not context.is_pi:
        yield from _systemd_sleep(context)


def _trouble(place: Path, path: Path) -> Finding | None:
    found = os.statvfs(path)
    free, total = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    if found.f_flag & getattr(os, "ST_RDONLY", 1):
        return problem(f"{place} is on a disk that has become read-only; it may be failing", "dmesg | tail -n 50")
    if free < FULL_BYTES:
        return problem(f"{place} is full: {free >> 20} MiB are free", f"du -xh --max-depth=2 {path} | sort -h | tail")
    if free < FILLING_BYTES and free < FILLING_SHARE * total:
        return warning(f"{place} is getting full: {free >> 20} MiB are free")
    if found.f_files and found.f_favail < 1000:
        return problem(f"{place} has no room for more files, though it has for bytes", f"df -i {path}")
    return None


def _nearest(path: Path) -> Path:
    """The folder, or the one in which it would be made."""
    while not os.path.isdir(path):  # noqa: PTH112 - never raises
        path = path.parent
    return path


def _zones(context: Context) -> Iterator[str]:
    for zone in sorted(context.path("/sys/class/thermal").glob("thermal_zone*")):
        try:
            yield (zone / "temp").read_text().strip()
        except OSError:
            continue


def _mac_sleep(context: Context) -> Iterator[Finding]:
    said = dict(re.findall(r"^\s*(\w+)\s+(\d+)", context.ask("pmset", "-g") or "", re.MULTILINE))
    if not said:
        return
    minutes = int(said.get("sleep", "0"))
    if minutes and said.get("SleepDisabled") != "1":
        yield warning(
            f"this Mac sleeps after {minutes} min without use; asleep it takes no jobs (one that runs keeps it awake)",
            "sudo pmset -a sleep 0",
        )
    elif said.get("autorestart", "1") == "0":
        yield ok("never; after a power cut it stays off", "sudo pmset -a autorestart 1")
    else:
        yield ok("never")


def _systemd_sleep(context: Context) -> Iterator[Finding]:
    target = context.ask("systemctl", "is-enabled", "suspend.target")
    if not target:
        return
    mend = "sudo systemctl mask sleep.target suspend.target hibernate.target"
    idle = "\n".join(context.read(str(p)) or "" for p in _logind(context))
    action = re.findall(r"^\s*IdleAction=(\S+)", idle, re.MULTILINE)
    if target == "masked":
        yield ok("never")
    elif action and action[-1] not in {"ignore", "lock"}:
        yield warning(f"systemd puts this machine to sleep when nobody uses it (IdleAction={action[-1]})", mend)
    elif context.ask("systemctl", "get-default") == "graphical.target" and "mem" in (
        context.read("/sys/power/state") or ""
    ):
        yield warning("its desktop may put this machine to sleep when nobody uses it; asleep it takes no jobs", mend)
    else:
        yield ok("nothing puts it to sleep")


def _logind(context: Context) -> Iterator[str]:
    yield "/etc/systemd/logind.conf"
    for file in sorted(context.path("/etc/systemd/logind.conf.d").glob("*.conf")):
        yield f"/etc/systemd/logind.conf.d/{file.name}"
