"""`relayq service`: this machine's worker, or server, as a service of systemd or launchd."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from relayq.cli.context import STORE_TIMEOUT, App, pass_app
from relayq.cli.exits import NEGATIVE
from relayq.cli.options import F, json_option
from relayq.errors import SetupError

if TYPE_CHECKING:
    from relayq.config import Settings
    from relayq.effects import Effects
    from relayq.service import Manager, Name, Status

JOBS_GRACE = 5.0  #: seconds for a machine's jobs when its service goes, before they are killed
_NAMES = click.Choice(["worker", "server"])


@click.group("service")
def command() -> None:
    """Have the worker (or, on the broker's machine, the server) run as a service: from boot on, started again for ever.

    systemd and launchd do it, for you alone or, with `install --system`, for the whole machine.
    """


def _which(function: F) -> F:
    return click.argument("name", type=_NAMES, default="worker", metavar="[worker|server]")(function)


def _dry_run(function: F) -> F:
    return click.option("--dry-run", is_flag=True, help="Only say what would be done.")(function)


@command.command("install")
@_which
@click.option("--system", is_flag=True, help="Of the system: before any login, on macOS too. Needs sudo.")
@_dry_run
@json_option
@pass_app
def install(app: App, name: Name, system: bool, dry_run: bool, as_json: bool) -> None:
    """Install the service and start it. Does nothing if it is there and nothing has changed.

    It goes by RELAYQ_HOME and its config.yml. A server is always a service of the system. Without --system a worker is
    one of yours: on Linux it starts at boot all the same (your user lingers), on macOS when you log in.

    --json prints {"service", "kind", "changed", "running"}.
    """
    from relayq.cli.screen import say, say_json
    from relayq.service import manager, server_unit, worker_unit

    home = app.settings.home.absolute()
    there = manager(system=system or name == "server")
    settings = _of_the_service(app.settings, name)
    effects = _effects(home, name, dry_run=dry_run)
    user = _owner(home) if there.kind in ("systemd-system", "launchd-daemon") else None
    unit = worker_unit(settings, user=user) if name == "worker" else server_unit(settings, user=user)
    changed = there.install(unit, effects)
    status = there.status(name)
    if as_json:
        return say_json(
            {"service": f"relayq-{name}", "kind": there.kind, "changed": changed, "running": status.running}
        )
    if not dry_run:
        say(f"relayq-{name}: {status.detail}{'' if changed else '; nothing has changed'}")
    return None


@command.command("status")
@click.argument("name", type=_NAMES, required=False, metavar="[worker|server]")
@json_option
def status(name: Name | None, as_json: bool) -> int | None:
    """Show whether it runs, since when, and whether it starts at boot. Exits with 1 if it does not run.

    Without a name: every service of relayq that this machine has. --json prints {"services": [{"service", "kind",
    "installed", "running", "enabled", "pid", "since", "restarts", "detail"}]}.
    """
    from relayq.cli.screen import say, say_json, say_table
    from relayq.service import find

    names: tuple[Name, ...] = (name,) if name else ("worker", "server")
    seen = [(one, (manager := find(one)).kind, manager.status(one)) for one in names]
    if name is None:
        seen = [entry for entry in seen if entry[2].installed] or seen[:1]
    if as_json:
        say_json({"services": [_record(*entry) for entry in seen]})
    else:
        say_table([["SERVICE", "STATE", "PID", "SINCE", "RESTARTS", "AT BOOT", "KIND"], *(_row(*e) for e in seen)])
        for one, _, state in seen:
            if state.detail != _word(state):
                say(f"relayq-{one}: {state.detail}")
    return None if all(state.running for _, _, state in seen) else NEGATIVE


@command.command("logs")
@_which
@click.option("-f", "--follow", is_flag=True, help="Go on with what is new, until Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(0), default=100, show_default=True, help="How many of the last.")
@pass_app
def logs(app: App, name: Name, follow: bool, lines: int) -> None:
    """Print its log: systemd's journal, on macOS the file in ~/Library/Logs/relayq, or the file of `logging.file`."""
    import sys

    manager = _installed(name)
    argv = manager.log_command(name, lines, follow)
    file = app.settings.log_file if name == "worker" else None
    if file is not None:
        argv = ["tail", "-n", str(lines), *(["-F"] if follow else []), str(file)]
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvp(argv[0], argv)  # noqa: S606  (it prints for us, and hears Ctrl-C)
    except FileNotFoundError:
        raise SetupError(f"there is no command {argv[0]} here to print the log with; install it") from None


@command.command("restart")
@_which
@json_option
@pass_app
def restart(app: App, name: Name, as_json: bool) -> None:
    """Start it anew, with the settings as they are now. A worker's jobs go on. --json prints {"restarted": SERVICE}."""
    jobs = "; its jobs go on" if name == "worker" else ""
    _done(app, name, "restarted", f"relayq-{name} is restarted{jobs}", as_json, lambda m, e: m.restart(name, e))


@command.command("uninstall")
@_which
@_dry_run
@json_option
@pass_app
def uninstall(app: App, name: Name, dry_run: bool, as_json: bool) -> None:
    """Stop it and remove it; a worker's jobs are ended and go back into their lines. Settings and results stay.

    --json prints {"uninstalled": SERVICE, "ended_jobs"}.
    """
    from relayq.cli.screen import say, say_json

    home = app.settings.home.absolute()
    ended = 0

    def end_jobs() -> None:
        nonlocal ended
        ended = _end_jobs(app.settings, home)

    manager = _installed(name)
    manager.uninstall(name, _effects(home, name, dry_run=dry_run), end_jobs if name == "worker" else None)
    if as_json:
        return say_json({"uninstalled": f"relayq-{name}", "ended_jobs": ended})
    if not dry_run:
        jobs = f"; {ended} {'job' if ended == 1 else 'jobs'} ended and wait again" if ended else ""
        say(f"relayq-{name} is removed from this machine's services{jobs}")
    return None


def _done(
    app: App, name: Name, word: str, sentence: str, as_json: bool, do: Callable[[Manager, Effects], None]
) -> None:
    from relayq.cli.screen import say, say_json

    do(_installed(name), _effects(app.settings.home.absolute(), name))
    if as_json:
        say_json({word: f"relayq-{name}"})
    else:
        say(sentence)


def _installed(name: Name) -> Manager:
    from relayq.service import find
    from relayq.service.model import not_installed

    manager = find(name)
    if not manager.status(name).installed:
        raise not_installed(name)
    return manager


def _of_the_service(given: Settings, name: Name) -> Settings:
    """As the service will read them: without what only this shell knows. Raises SetupError if it has no broker then."""
    from relayq.cli.screen import message
    from relayq.config import SETTINGS, broker_url_file, load

    home = given.home.absolute()
    settings = load({"RELAYQ_HOME": str(home), "HOME": os.environ.get("HOME", "")})
    file = home / "config.yml"
    here_only = [s.variable for s in SETTINGS if given.sources.get(s.field) == s.variable]
    if name == "worker" and (settings.broker_url is None or str(broker_url_file(home)) in settings.broker_source):
        why = " (RELAYQ_BROKER_URL is known to this shell only)" if "RELAYQ_BROKER_URL" in here_only else ""
        why = why or (" (`relayq up` has one, with a worker of its own)" if settings.broker_url else "")
        raise SetupError(
            f"{file} names no broker for a service to work for{why}. Write it there, as `broker: {{url: …}}`, and run "
            "this again"
        )
    if here_only:
        message(f"{', '.join(here_only)} counts in this shell only: the service goes by {file}")
    return settings


def _effects(home: Path, name: Name, *, dry_run: bool = False) -> Effects:
    from relayq.effects import Effects
    from relayq.receipt import Receipt

    if home.is_dir() and not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        raise SetupError(f"{home} belongs to {_owner(home)}. Run this as that user, or as root")
    return Effects(Receipt.load(home / "receipt.json", "worker" if name == "worker" else "broker"), dry_run=dry_run)


def _owner(home: Path) -> str:
    """Whose home it is: the service runs as that user."""
    number = home.stat().st_uid if home.exists() else os.geteuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        raise SetupError(f"{home} belongs to user {number}, who is unknown here: give it to one who exists") from None


def _end_jobs(settings: Settings, home: Path) -> int:
    from relayq.client import open_store
    from relayq.worker.ending import end_jobs, shut_down

    if settings.broker_url is None:
        ended = end_jobs(home, None, grace=JOBS_GRACE)
    else:
        with closing(open_store(settings, timeout=STORE_TIMEOUT)) as store:
            ended = end_jobs(home, store, grace=JOBS_GRACE)
    shut_down(home)
    return ended


def _record(name: Name, kind: str, status: Status) -> dict[str, Any]:
    return {"service": f"relayq-{name}", "kind": kind, **vars(status)}


def _row(name: Name, kind: str, status: Status) -> list[str]:
    from relayq.monitoring import clock_time

    since = clock_time(status.since, time.time()) if status.since else "-"
    boot = "yes" if status.enabled else "no"
    pid = str(status.pid or "-")
    return [f"relayq-{name}", _word(status), pid, since, str(status.restarts), boot, kind]


def _word(status: Status) -> str:
    return "running" if status.running else "not running" if status.installed else "not installed"
