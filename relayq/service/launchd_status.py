"""What `launchctl print` tells of a job: text for people, of which we take what has long been there. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from relayq.service.model import Status


def status_of(printed: str, *, enabled: bool) -> Status:
    """Of a job that is loaded. `since` is not in it."""
    told = dict(_own_values(printed))
    pid = _number(told.get("pid"))
    running = told.get("state") == "running" and pid is not None
    return Status(
        installed=True,
        running=running,
        enabled=enabled,
        pid=pid if running else None,
        restarts=max(0, (_number(told.get("runs")) or 0) - 1),
        detail="running" if running else _detail(told),
    )


def _detail(told: dict[str, str]) -> str:
    words = f"launchd says: {told.get('state', 'nothing about its state')}"
    code, signal = told.get("last exit code", ""), told.get("last terminating signal", "")
    if signal:
        return f"it was killed by signal {signal}; {words}"
    if code and not code.startswith("(never"):
        return f"it ended with exit code {code}; {words}"
    return words


def _own_values(printed: str) -> Iterator[tuple[str, str]]:
    """`key = value` at the first depth: its environment and its sockets hold others of the same names."""
    depth = 0
    for line in printed.splitlines():
        text = line.strip()
        if text.endswith("{"):
            depth += 1
        elif text == "}":
            depth -= 1
        elif depth == 1 and " = " in text:
            key, _, value = text.partition(" = ")
            yield key, value.strip()


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
