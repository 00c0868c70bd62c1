"""What keeps a machine from becoming a broker: all of it at once, before anything is touched."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import psutil

from relayq.effects import run_command
from relayq.errors import SetupError
from relayq.service import systemd
from relayq.setup.places import own_venv
from relayq.setup.redis import OWN_UNIT, TEMPLATE_UNIT

OURS = {TEMPLATE_UNIT, OWN_UNIT, "relayq-server.service"}
_NOT_FOR_ALL = ("/home", "/root")


def check(problems: list[str]) -> None:
    """Raise all of them as one SetupError, if there are any."""
    if problems:
        listed = "".join(f"\n  * {problem}" for problem in problems)
        raise SetupError(f"this machine is not ready; nothing has been changed:{listed}")


def of_broker(ports: Mapping[int, str], *, retired: Collection[int] = (), rehearsal: bool = False) -> Iterator[str]:
    """Sentences. `ports`: who wants them, and the option that names another; `retired`: about to become free."""
    if not systemd.runs_here():
        yield "systemd does not run here; it is to keep the broker running. Without it: relayq up"
    venv = own_venv()
    if not rehearsal and any(venv.is_relative_to(place) for place in _NOT_FOR_ALL):
        yield f"relayq runs from {venv}, where a service of the system may not read it: use install-broker.sh"
    if not rehearsal and os.geteuid():
        yield "this needs root: run it with sudo"
    for port, option in ports.items():
        holder = holder_of(port)
        if holder and port not in retired:
            yield f"port {port} is used by {holder}. Stop it, or choose another port with {option}"


def holder_of(port: int) -> str | None:
    """Who listens on a port, in words; None if nobody does or it is a service of ours."""
    pids = _listeners(port)
    if not pids:
        return None
    pid, ours = next((pid for pid in pids if pid), None), _our_pids()
    if pids & ours or (pid is None and ours):  # without root nobody is named: then it is ours, if ours run
        return None
    if pid is None:
        return "somebody (run this as root to see whom)"
    unit = _unit_of(pid)
    try:
        name = psutil.Process(pid).name()
    except psutil.Error:
        name = "a process"
    return f"{name} ({unit}, process {pid})" if unit else f"{name} (process {pid})"


def _our_pids() -> set[int]:
    """The processes of our services."""
    told = [run_command(["systemctl", "show", unit, "--property=MainPID"], check=False).stdout for unit in OURS]
    return {int(number) for number in re.findall(r"^MainPID=([1-9]\d*)$", "\n".join(told), re.MULTILINE)}


def _unit_of(pid: int) -> str | None:
    """The systemd unit of a process."""
    try:
        group = Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return None
    found = re.search(r"/([^/\n]+\.service)$", group, re.MULTILINE)
    return found[1].replace("\\x40", "@") if found else None


def _listeners(port: int) -> set[int | None]:
    """Their process numbers; None for somebody else's, unless we are root."""
    try:
        found = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return set()
    return {c.pid for c in found if c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port}
