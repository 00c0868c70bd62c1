"""Checks of the Redis that is our broker: that it keeps what it was given, and lets in whom it should."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from relayq.config_values import in_bytes
from relayq.doctor.context import Context
from relayq.doctor.findings import Finding, check, ok, problem, warning

OLDEST = (6, 2)
SETUP = "relayq setup broker"
FULL = 0.85  #: of maxmemory; then the store takes no new jobs (lua/pulse.lua)
FILLING = 0.7
OF_MACHINE = 0.6  #: of its machine's memory, where there is no limit: a rewrite may need as much again


@check("redis version")
def version(context: Context) -> Iterator[Finding]:
    """It has the commands that the store uses."""
    if (health := context.health) is None:
        return
    if health.number < OLDEST:
        yield problem(f"the broker runs Redis {health.version}; relayq needs 6.2 or newer", _mend(context))
    else:
        yield ok(f"{health.name.capitalize()} {health.version}")


@check("persistence")
def persistence(context: Context) -> Iterator[Finding]:
    """What it was given is on its disk."""
    if (health := context.health) is None:
        return
    if not health.append_only:
        mend = _mend(context, "appendonly yes")
        yield problem("Redis writes no append-only file: when it restarts, jobs are forgotten", mend)
    if health.append_trouble:
        yield problem(f"{health.append_trouble}: the disk of the broker's machine may be full", "df -h /var/lib")
    if health.rewrite_trouble:
        yield warning("the append-only file could not be rewritten the last time, and grows", "df -h /var/lib")
    if health.append_only and not health.append_trouble and not health.rewrite_trouble:
        yield ok("append-only file, all written")


@check("eviction policy")
def eviction(context: Context) -> Iterator[Finding]:
    """When its memory is full it refuses new jobs, and forgets none."""
    if (health := context.health) is None:
        return
    if health.eviction == "noeviction":
        yield ok("noeviction")
    else:
        mend = _mend(context, "maxmemory-policy noeviction")
        yield problem(f"Redis may forget jobs when its memory is short ({health.eviction})", mend)


@check("memory")
def memory(context: Context) -> Iterator[Finding]:
    """There is room for more jobs."""
    if (health := context.health) is None:
        return
    limit = health.limit_bytes or health.machine_bytes
    share = health.used_bytes / limit if limit else 0.0
    text = f"{_size(health.used_bytes)} of {_size(limit)}" if limit else _size(health.used_bytes)
    mend = _mend(context, f"maxmemory {2 * health.limit_bytes}")
    if mend == SETUP:
        mend = f"{SETUP} --maxmemory {in_bytes(2 * health.limit_bytes)}"
    if health.limit_bytes and share > FULL:
        yield problem(f"{text} are used: no new jobs are taken. Raise maxmemory, or shorten jobs.keep", mend)
    elif health.limit_bytes and share > FILLING:
        yield warning(f"{text} are used; above {FULL:.0%} no new jobs are taken", mend)
    elif not health.limit_bytes and share > OF_MACHINE:
        yield warning(f"{text} of its machine are used, and Redis has no limit: set maxmemory, shorten jobs.keep")
    else:
        yield ok(text if health.limit_bytes else f"{_size(health.used_bytes)}, no limit")


@check("password")
def password(context: Context) -> Iterator[Finding]:
    """Who knows none is sent away."""
    health = context.health
    if health is None or context.url.startswith("unix:"):
        return
    if health.needs_password is False:
        yield problem(
            "Redis lets in who gives no password: whoever reaches it can run commands on every worker",
            _mend(context, "requirepass PASSWORD"),
        )
    elif health.needs_password:
        yield ok("required")


@check("access rights")
def rights(context: Context) -> Iterator[Finding]:
    """This machine may do what it must, and no more."""
    if (health := context.health) is None:
        return
    may = health.rights
    user = urlsplit(context.url).username or "default"
    if health.refused_write:
        yield problem(f"Redis takes no writes: {health.refused_write}")
    if health.replica:
        yield problem("this Redis is a replica of another; give the address of that one")
    if not (may.write and may.script):
        lacks = "write relayq's keys" if not may.write else "run scripts"
        yield problem(f'the user "{user}" may not {lacks}, which relayq needs', _mend(context))
        return
    if (may.configure or may.tokens) and not context.runs_redis:
        what = "change Redis itself" if may.configure else "read the tokens of joining machines"
        yield warning(f'this machine\'s user "{user}" may {what}: let it join with a user of its own')
    elif not health.refused_write and not health.replica:
        yield ok(f'"{user}" may do what it must' + ("" if may.configure else ", and no more"))


def _mend(context: Context, setting: str | None = None) -> str | None:
    """The command that makes Redis so; of a broker that was not set up by relayq, for one who may."""
    if "relayq up" in context.settings.broker_source:
        return "relayq down && relayq up"
    user = urlsplit(context.url).username or ""
    if context.is_broker or user == "submitter" or user.startswith("worker-"):
        return SETUP
    if setting is None:
        return None
    return f"redis-cli -h {context.host or 'localhost'} -p {context.port} CONFIG SET {setting}"


def _size(count: int) -> str:
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} B"
