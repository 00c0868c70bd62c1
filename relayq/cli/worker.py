"""`relayq worker`: this machine works for the broker; or a worker that is gone is removed."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click

from relayq import config_values, minder
from relayq.cli.complete import complete_worker
from relayq.cli.context import App, pass_app
from relayq.cli.options import DURATION, json_option, value_type
from relayq.errors import NoSuchWorker, Refused
from relayq.placement import NAME as NAMES

NAME = value_type("name", config_values.worker_name)
LABELS = value_type("labels", config_values.labels)


@click.group("worker", invoke_without_command=True)
@click.option("--name", type=NAME, help="What it is called. [default: worker.name, else this host's name]")
@click.option(
    "--slots",
    type=click.IntRange(1, 1024),
    help="How many jobs it runs at once. [default: worker.slots, else one a processor]",
)
@click.option("--labels", type=LABELS, metavar="LABEL,…", help="Words that jobs may ask for. [default: worker.labels]")
@click.option(
    "--log-level",
    type=click.Choice(config_values.LEVELS, case_sensitive=False),
    help="[default: logging.level, else INFO]",
)
@click.option("--log-file", metavar="FILE", help="[default: logging.file, else standard error]")
@click.option(
    "--restart/--no-restart",
    default=None,
    help="Start it again when it is killed or crashes. [default: unless systemd or launchd started it, which do that]",
)
@click.pass_context
def command(
    ctx: click.Context,
    name: str | None,
    slots: int | None,
    labels: tuple[str, ...] | None,
    log_level: str | None,
    log_file: str | None,
    restart: bool | None,
) -> None:
    """Let this machine work: take jobs and run them, until Ctrl-C.

    Ctrl-C (or TERM) stops the worker and leaves its jobs running for the worker that is started next here; a second
    Ctrl-C ends them.
    """
    if ctx.invoked_subcommand is not None:
        return
    given = {
        "RELAYQ_WORKER_NAME": name,
        "RELAYQ_SLOTS": slots,
        "RELAYQ_LABELS": labels and ",".join(labels),
        "RELAYQ_LOG_LEVEL": log_level,
        "RELAYQ_LOG_FILE": log_file and Path(log_file).expanduser().absolute(),
    }
    os.environ.update({variable: str(value) for variable, value in given.items() if value})
    argv, added = worker_command(), dict[str, str]()
    if minder.needed(dict(os.environ)) if restart is None else restart:
        argv, added = minder.command(argv)
    sys.stdout.flush()
    sys.stderr.flush()
    # This very process becomes the worker or its minder: whoever started it (a service, a shell) watches the right one.
    os.execve(argv[0], argv, os.environ | added)  # noqa: S606


def worker_command() -> list[str]:
    """The worker's command line, once the settings are known to be good. Raises ConfigError, BrokerRefused."""
    from relayq.config import load
    from relayq.errors import BrokerRefused

    settings = load()
    if settings.broker_url is None:
        raise BrokerRefused(
            "no broker is configured. Start one, and a worker with it: relayq up; or name one: "
            "export RELAYQ_BROKER_URL=redis://:PASSWORD@HOST:6379/0"
        )
    from relayq.broker import worker_argv

    # Where it logs, `relayq.tasks` reads from the settings: Celery would take a "%" in the path for its own.
    return worker_argv(settings.worker_name, settings.slots, loglevel=settings.log_level)


@command.command("reprobe")
@click.argument("name", shell_complete=complete_worker)
@click.option("--program", "programs", multiple=True, metavar="NAME", help="Look for this program on its PATH as well.")
@click.option("--wait", type=DURATION, default=60.0, help="How long to wait for what it finds. [default: 60s]")
@json_option
@pass_app
def reprobe(app: App, name: str, programs: tuple[str, ...], wait: float, as_json: bool) -> int:
    """Have a worker look again at what its machine can do, after something was installed there.

    A program that is asked for is looked for ever after, and jobs may ask for it: --needs NAME. Exits with 1 if it has
    not told within --wait; it will look as soon as it is there. --json prints a Worker.
    """
    from relayq.cli.exits import NEGATIVE
    from relayq.cli.records import worker_records
    from relayq.cli.screen import message, say_json
    from relayq.cli.snapshot import Snapshot
    from relayq.cli.workers import say_machines, say_workers

    for program in programs:
        if not NAMES.fullmatch(program):
            raise click.UsageError(f"--program takes a program's name as it is on PATH; got {program!r}")
    app.store.reprobe(name, programs)
    told = _told(app, name, wait)
    workers = {name: worker_records(Snapshot(app.store).status())[name]}
    if as_json:
        say_json(workers[name])
    elif told:
        say_workers(workers, capabilities=True)
        say_machines(workers)
    if not told:
        message(f"{name} has not told what it finds within {wait:g} s; it looks as soon as it is there")
    return 0 if told else NEGATIVE


def _told(app: App, name: str, patience: float) -> bool:
    """Whether the worker has looked, and said so, before `patience` seconds had passed."""
    give_up_at = time.monotonic() + patience
    while any(w.info.name == name and w.reprobe is not None for w in app.store.workers()[1]):
        if time.monotonic() >= give_up_at:
            return False
        time.sleep(0.1)
    return True


@command.command("remove")
@click.argument("name", shell_complete=complete_worker)
@json_option
@pass_app
def remove(app: App, name: str, as_json: bool) -> None:
    """Forget a worker that is away and holds no job. --json prints {"removed": NAME}.

    On the broker's machine this also takes its access away, at once and whatever it does: its connections end, and its
    jobs go to others as those of a lost machine.
    """
    from relayq.cli.screen import message, say_json

    dismissed = _dismiss(app, name)
    try:
        app.store.remove_worker(name)
    except NoSuchWorker:
        if not dismissed:
            raise
    except Refused as error:
        if not dismissed:
            raise
        message(f"{name} has no access any more. It stays in the list for now: {error}")
    if as_json:
        say_json({"removed": name})
    else:
        message(f"{name} is removed; it may join again")


def _dismiss(app: App, name: str) -> bool:
    """Take its access away, where the administrator is configured; whether it had any."""
    if app.settings.admin_url is None:
        return False
    from contextlib import closing

    from relayq.store.admin import Admin
    from relayq.store.enrolment import Enrolment

    with closing(Admin(app.settings.admin_url)) as admin:
        return Enrolment(admin).dismiss(name)
