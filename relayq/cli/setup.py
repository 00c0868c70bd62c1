"""`relayq setup`: what the installers call to make this machine a broker or a worker."""

from __future__ import annotations

import getpass
import os
import shutil
import sys
from typing import TYPE_CHECKING, TextIO

import click

from relayq import config_values
from relayq.cli.context import STORE_TIMEOUT
from relayq.cli.options import value_type
from relayq.errors import SetupError

if TYPE_CHECKING:
    from relayq.config import Settings
    from relayq.effects import Effects
    from relayq.setup.installation import Installation
    from relayq.setup.places import Places

SIZE = value_type("size", config_values.size)
NAME = value_type("name", config_values.worker_name)
LABELS = value_type("labels", config_values.labels)


@click.group("setup")
def command() -> None:
    """Make this machine a broker or a worker, or undo it. Run again, it mends what is broken, and changes nothing
    else."""


@command.command("broker")
@click.option("--dry-run", is_flag=True, envvar="RELAYQ_DRY_RUN", help="Only show what would be done. Needs no root.")
@click.option("--yes", is_flag=True, envvar="RELAYQ_YES", help="Retire a relayq 1.x found here too, with copies kept.")
@click.option("--port", type=click.IntRange(1, 65535), envvar="RELAYQ_PORT", help="Redis' port. [default: 6379]")
@click.option(
    "--server-port", type=click.IntRange(1, 65535), envvar="RELAYQ_SERVER_PORT", help="The server's. [default: 7117]"
)
@click.option("--user", envvar="RELAYQ_USER", help="Whose ~/.relayq/config.yml gets the access. [default: you]")
@click.option(
    "--maxmemory", type=SIZE, envvar="RELAYQ_MAXMEMORY", help="Redis' memory. [default: a quarter of the machine's]"
)
@click.option(
    "--rotate-password",
    is_flag=True,
    envvar="RELAYQ_ROTATE_PASSWORD",
    help="Make new passwords for the administrator and for those who submit.",
)
@click.option("--uninstall", is_flag=True, envvar="RELAYQ_UNINSTALL", help="Remove what was installed; data stay.")
@click.option("--purge", is_flag=True, envvar="RELAYQ_PURGE", help="With --uninstall: data and packages too.")
@click.pass_context
def broker(
    ctx: click.Context,
    dry_run: bool,
    yes: bool,
    port: int | None,
    server_port: int | None,
    user: str | None,
    maxmemory: int | None,
    rotate_password: bool,
    uninstall: bool,
    purge: bool,
) -> None:
    """Make this machine (Debian or Ubuntu) the broker: Redis of relayq's own, passwords, and the server.

    Redis listens on loopback and the Tailscale address only. What is there already and right is left alone.
    """
    from relayq.setup import broker as setup
    from relayq.setup import places

    there = places.for_broker()
    by_sudo = os.environ.get("SUDO_USER") or os.environ.get("DOAS_USER")
    if os.geteuid() and not dry_run:
        ctx.params["user"] = user or getpass.getuser()
        _through_sudo(ctx)
    effects = effects_of(there, "broker", dry_run)
    # Root itself, as `relayq upgrade` may run it: whoever it was the last time.
    person = user or by_sudo or effects.receipt.facts.get("user") or getpass.getuser()
    if uninstall:
        from relayq.setup import uninstall as removal

        removal.broker_of(there, effects, purge=purge, home=setup.home_of(person))
        return
    wishes = setup.Wishes(
        user=person,
        port=port,
        server_port=server_port,
        maxmemory_bytes=maxmemory,
        rotate_password=rotate_password,
        yes=yes,
    )
    setup.set_up(wishes, there, effects)


@command.command("worker")
@click.option("--dry-run", is_flag=True, envvar="RELAYQ_DRY_RUN", help="Only show what would be done.")
@click.option("--yes", is_flag=True, envvar="RELAYQ_YES", help="Ask nothing (nothing is asked anyway).")
@click.option("--name", type=NAME, envvar="RELAYQ_WORKER_NAME", help="[default: the token's, else this host's]")
@click.option("--labels", type=LABELS, envvar="RELAYQ_LABELS", metavar="LABEL,…", help="Words that jobs may ask for.")
@click.option("--slots", type=click.IntRange(1, 1024), envvar="RELAYQ_SLOTS", help="How many jobs it runs at once.")
@click.option(
    "--nice", type=click.IntRange(-20, 19), envvar="RELAYQ_NICE", help="How much its jobs give way to others."
)
@click.option(
    "--profile",
    type=click.Choice(["rpi", "mac", "none"]),
    envvar="RELAYQ_PROFILE",
    help="What it is set up with where you say nothing. [default: by the sort of machine]",
)
@click.option("--server", envvar="RELAYQ_SERVER", metavar="URL", help="The broker's server: http://HOST:7117")
@click.option(
    "--token-file", type=click.File(), metavar="FILE|-", help="Where the token stands. [default: RELAYQ_TOKEN]"
)
@click.option("--system", is_flag=True, envvar="RELAYQ_SYSTEM", help="A service of the system. Needs sudo.")
@click.option("--uninstall", is_flag=True, envvar="RELAYQ_UNINSTALL", help="Remove what was installed; settings stay.")
@click.option("--purge", is_flag=True, envvar="RELAYQ_PURGE", help="With --uninstall: settings and packages too.")
def worker(
    dry_run: bool,
    yes: bool,
    name: str | None,
    labels: tuple[str, ...] | None,
    slots: int | None,
    nice: int | None,
    profile: str | None,
    server: str | None,
    token_file: TextIO | None,
    system: bool,
    uninstall: bool,
    purge: bool,
) -> None:
    """Make this machine a worker: it joins, gets a service, and proves that it works with a first job.

    The token comes from RELAYQ_TOKEN or --token-file, so that it is in no list of processes. Without one, this shows a
    code to be approved on the broker's machine. What config.yml says already counts for more than the profile.
    """
    from relayq.setup import worker as setup

    # Gone from here on: the service and the jobs must not have it.
    token = os.environ.pop("RELAYQ_TOKEN", "").strip() or (token_file.read().strip() if token_file else "")
    there = _worker_places()
    effects = effects_of(there, "worker", dry_run)
    if uninstall:
        from relayq.setup import uninstall as removal

        removal.worker_of(there, effects, purge=purge)
        return
    wishes = setup.Wishes(
        server=server.rstrip("/") if server else None,
        token=token or None,
        name=name,
        labels=labels,
        slots=slots,
        nice=nice,
        profile=profile,
        system=system,
    )
    settings = setup.set_up(wishes, there, effects)
    if not dry_run:
        _say_workers(settings)


@command.command("bind")
def bind() -> None:
    """Write which addresses Redis listens on: loopback, and the Tailscale address of now. Its service calls this."""
    from relayq.setup import bind, places

    bind.write_bind(places.for_broker())


def _worker_places() -> Places:
    from relayq.config import load
    from relayq.setup import places

    home = load({name: os.environ[name] for name in ("HOME", "RELAYQ_HOME") if name in os.environ}).home
    return places.for_worker(home.absolute())


def _say_workers(settings: Settings) -> None:
    from contextlib import closing

    from relayq.cli.records import worker_records
    from relayq.cli.snapshot import Snapshot
    from relayq.cli.workers import say_workers
    from relayq.client import open_store

    with closing(open_store(settings, timeout=STORE_TIMEOUT)) as store:
        say_workers(worker_records(Snapshot(store).status()))


def effects_of(there: Places, role: str, dry_run: bool) -> Effects:
    """Of an installation, with its receipt as far as we may read it."""
    from relayq.effects import Effects
    from relayq.receipt import Receipt

    unreadable = dry_run and there.receipt.exists() and not os.access(there.receipt, os.R_OK)
    receipt = Receipt(there.receipt, role) if unreadable else Receipt.load(there.receipt, role)
    return Effects(receipt, dry_run=dry_run)


def again_as_root(ctx: click.Context, here: Installation, dry_run: bool) -> None:
    """What concerns the broker is root's to do."""
    if here.role == "broker" and os.geteuid() and not dry_run:
        _through_sudo(ctx)


def _through_sudo(ctx: click.Context) -> None:
    """The same command through sudo, which asks on the terminal itself and takes no variables along."""
    elevate = next((name for name in ("sudo", "doas") if shutil.which(name)), None)
    if elevate is None:
        raise SetupError("this needs root, and there is neither sudo nor doas. Run it as root")
    argv = [elevate, sys.executable, "-m", "relayq", *ctx.command_path.split()[1:]]
    for option in ctx.command.params:
        value = ctx.params.get(option.name or "")
        if value is True:
            argv.append(option.opts[0])
        elif value not in (None, False):
            argv += [option.opts[0], str(value)]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execvp(argv[0], argv)  # noqa: S606  (sudo stands in our place)
