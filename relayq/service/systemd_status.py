"""What `systemctl show` tells of a unit. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from relayq.service.model import Status

PROPERTIES = (
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "MainPID",
    "NRestarts",
    "ExecMainStartTimestamp",
    "ExecMainCode",
    "ExecMainStatus",
    "Result",
)
ENVIRONMENT = {"TZ": "UTC", "LC_ALL": "C"}  #: for times that can be read back

_EXITED = "1"  #: ExecMainCode, as waitid(2) has it


def status_of(shown: str, *, lingers: bool = True) -> Status:
    """`lingers`: whether its manager itself starts at boot."""
    told = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    if told.get("LoadState") in (None, "not-found"):
        return Status(installed=False, detail="not installed")
    running = told["ActiveState"] in ("active", "reloading")
    return Status(
        installed=True,
        running=running,
        enabled=told.get("UnitFileState") == "enabled" and lingers,
        pid=int(told.get("MainPID", "0")) or None,
        since=_instant(told.get("ExecMainStartTimestamp", "")) if running else None,
        restarts=int(told.get("NRestarts", "0")),
        detail=_detail(told),
    )


def _detail(told: dict[str, str]) -> str:
    if told["LoadState"] != "loaded":
        return f"systemd cannot use its file ({told['LoadState']})"
    match told["ActiveState"], told.get("SubState"):
        case (("active" | "reloading"), _):
            return "running"
        case "activating", "auto-restart" | "auto-restart-queued":
            return f"{_end(told)}; it is started again"
        case "activating", _:
            return "starting"
        case "deactivating", _:
            return "stopping"
        case "failed", _:
            return f"{_end(told)}; it is not started again"
        case _:
            return "stopped"


def _end(told: dict[str, str]) -> str:
    code = told.get("ExecMainStatus", "?")
    if told.get("ExecMainCode") == _EXITED:
        return f"it ended with exit code {code}"
    if code not in ("0", "?"):
        return f"it was killed by signal {code}"
    return f"it did not start ({told.get('Result', '?')})"


def _instant(text: str) -> float | None:
    try:
        return datetime.strptime(text, "%a %Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
