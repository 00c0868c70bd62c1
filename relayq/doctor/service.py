"""Check of this machine's services: they run, and come back after a reboot."""

from __future__ import annotations

from collections.abc import Iterator

from relayq.doctor.context import Context
from relayq.doctor.findings import Finding, Fix, check, ok, problem, warning
from relayq.effects import Effects
from relayq.service.model import Name, Status

OFTEN = 5  #: restarts that are worth a look at the log


@check("service")
def service(context: Context) -> Iterator[Finding]:
    """The worker, and on the broker's machine the server, run and start at boot."""
    if context.is_worker:
        yield from _worker_by_hand(context)
    names: tuple[Name, ...] = ("worker", "server")
    for name in names:
        status = context.service(name)
        if status is not None and status.installed:
            yield from _installed(context, name, status)


def restart_command(context: Context, name: Name) -> str | None:
    """What restarts it, if it is a service here."""
    status = context.service(name)
    return f"relayq service restart {name}" if status is not None and status.installed else None


def _worker_by_hand(context: Context) -> Iterator[Finding]:
    status = context.service("worker")
    if status is not None and status.installed:
        return
    if "relayq up" in context.settings.broker_source:
        yield ok("none, `relayq up` started this; after a reboot it is to be called again")
    elif status is None:
        yield warning("neither systemd nor launchd runs here: after a reboot somebody must start the worker")
    elif context.worker is not None and context.worker.online:
        yield warning("the worker was started by hand: it is gone after a reboot", "relayq service install worker")


def _installed(context: Context, name: Name, status: Status) -> Iterator[Finding]:
    if not status.running:
        detail = status.detail or "not running"
        yield problem(f"the service relayq-{name} is down: {detail}", f"relayq service restart {name}", _restart(name))
    if not status.enabled:
        hint = f" ({status.detail})" if "linger" in status.detail else ""
        yield problem(
            f"the service relayq-{name} does not start at boot{hint}",
            f"relayq service install {name}",
            _install_worker(context) if name == "worker" else None,
        )
    if status.restarts >= OFTEN:
        yield warning(f"relayq-{name} was started again {status.restarts} times", f"relayq service logs {name}")
    if status.running and status.enabled and status.restarts < OFTEN:
        yield ok(f"relayq-{name} runs, and starts at boot")


def _restart(name: Name) -> Fix:
    def fix(effects: Effects) -> None:
        from relayq.service import find

        find(name).restart(name, effects)

    return fix


def _install_worker(context: Context) -> Fix:
    def fix(effects: Effects) -> None:
        from relayq.service import find, worker_unit

        find("worker").install(worker_unit(context.settings), effects)

    return fix
