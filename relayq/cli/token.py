"""`relayq token`: let machines join, and programs use the server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from relayq import config_values
from relayq.cli import server_at
from relayq.cli.context import App, administration, pass_app
from relayq.cli.options import json_option, value_type
from relayq.cli.screen import message, say, say_json, say_table

if TYPE_CHECKING:
    from relayq.store.admin import Admin
    from relayq.store.enrolment import Enrolment

NAME = value_type("name", config_values.worker_name)
LABELS = value_type("labels", config_values.labels)
DURATION = value_type("duration", config_values.positive_duration)


@click.group("token")
def command() -> None:
    """Let machines join, and programs (or people) use the server. Where the broker's administrator is configured: on
    its machine."""


@command.command("new")
@click.option("--name", type=NAME, help="What the machine is to be called. [default: as it calls itself]")
@click.option("--label", "labels", multiple=True, metavar="LABEL", help="A label that it gets; may be repeated.")
@click.option("--ttl", type=DURATION, default="1h", show_default=True, help="How long it may be used.")
@click.option("--uses", type=click.IntRange(1, 1000), default=1, show_default=True, help="How often.")
@json_option
@pass_app
def new(app: App, name: str | None, labels: tuple[str, ...], ttl: float, uses: int, as_json: bool) -> None:
    """Make a token, and print the one line to paste on the machine that shall join.

    The token is shown now and never again: the broker keeps only its hash. --json prints {"token", "line", "server",
    "expires_at"}.
    """
    given = LABELS(",".join(labels)) if labels else ()
    with _enrolment(app) as enrolment:
        token = enrolment.new_token(name=name, labels=given, seconds=ttl, uses=uses)
    server = server_at.for_joining(app.settings)
    line = f"curl -fsSL {server}/join | RELAYQ_TOKEN={token.secret} sh"
    if as_json:
        say_json({"token": token.secret, "line": line, "server": server, "expires_at": token.expires_at})
        return
    until = datetime.fromtimestamp(token.expires_at).strftime("%H:%M")
    message(f"paste this on the machine that shall join (until {until}, {_times(uses)}):")
    say(line)


@command.command("list")
@json_option
@pass_app
def list_tokens(app: App, as_json: bool) -> None:
    """The tokens that may still be used, the machines that wait for approval, and those that have joined."""
    from relayq.store.access import Access
    from relayq.store.enrolment import Enrolment

    with _admin(app) as admin:
        enrolment = Enrolment(admin)
        tokens, asking, machines = enrolment.tokens(), enrolment.asking(), enrolment.machines()
        programs = Access(admin).tokens()
    if as_json:
        say_json(
            {
                "tokens": [
                    {"name": t.name, "labels": t.labels, "uses": t.uses, "expires_at": t.expires_at} for t in tokens
                ],
                "asking": [{"code": m.code, "name": m.name, "address": m.address} for m in asking],
                "machines": [{"name": m.name, "address": m.address, "labels": m.labels, "at": m.at} for m in machines],
                "api": [{"name": p.name, "scope": str(p.scope), "made_at": p.made_at} for p in programs],
            }
        )
        return
    rows: list[Sequence[str]] = []
    for token in tokens:
        left = f"{_times(token.uses)}, until {_clock(token.expires_at)}"
        rows.append(["token", token.name or "any name", ",".join(token.labels), left])
    for machine in asking:
        rows.append(["asks", machine.name, ",".join(machine.labels), f"code {machine.code}, from {machine.address}"])
    for machine in machines:
        rows.append(["joined", machine.name, ",".join(machine.labels), f"{_clock(machine.at)}, from {machine.address}"])
    for program in programs:
        rows.append(["api", program.name, str(program.scope), f"made {_clock(program.made_at)}"])
    if not rows:
        message("no tokens, and no machine has joined. Make a token with: relayq token new")
        return
    say_table([("WHAT", "MACHINE", "LABELS", ""), *rows])


@command.command("approve")
@click.argument("code")
@click.option("--name", type=NAME, help="Call it so instead.")
@click.option("--label", "labels", multiple=True, metavar="LABEL", help="Labels instead of those it asked for.")
@json_option
@pass_app
def approve(app: App, code: str, name: str | None, labels: tuple[str, ...], as_json: bool) -> None:
    """Let in the machine that shows this code. --json prints {"approved": NAME}."""
    given = LABELS(",".join(labels)) if labels else None
    with _enrolment(app) as enrolment:
        machine = enrolment.approve(code, name=name, labels=given)
    if as_json:
        say_json({"approved": machine.name})
    else:
        message(f"{machine.name} ({machine.address}) is let in; it goes on by itself")


@command.command("api")
@click.argument("name", type=NAME)
@click.option("--read-only", is_flag=True, help="It lets its bearer look, and change nothing.")
@json_option
@pass_app
def api(app: App, name: str, read_only: bool, as_json: bool) -> None:
    """Make a token with which a program uses the API, or a person signs in at the dashboard; print it.

    It is shown now and never again: the broker keeps only its hash. --json prints {"name", "token", "scope"}.
    """
    from relayq.store.access import Access, Scope

    with _admin(app) as admin:
        token = Access(admin).new_token(name, Scope.READ if read_only else Scope.FULL)
    if as_json:
        say_json({"name": name, "token": token.secret, "scope": str(token.scope)})
        return
    message(f'for programs: the header "Authorization: Bearer TOKEN". To end it: relayq token revoke {name}')
    say(token.secret)


@command.command("revoke")
@click.argument("name", type=NAME)
@json_option
@pass_app
def revoke(app: App, name: str, as_json: bool) -> None:
    """End a token of `relayq token api`, and the sessions it opened. --json prints {"revoked": NAME}."""
    from relayq.store.access import Access

    with _admin(app) as admin:
        Access(admin).revoke(name)
    if as_json:
        say_json({"revoked": name})
    else:
        message(f"{name} is let in no more")


@contextlib.contextmanager
def _admin(app: App) -> Iterator[Admin]:
    from relayq.store.admin import Admin

    with contextlib.closing(Admin(administration(app.settings))) as admin:
        yield admin


@contextlib.contextmanager
def _enrolment(app: App) -> Iterator[Enrolment]:
    from relayq.store.enrolment import Enrolment

    with _admin(app) as admin:
        yield Enrolment(admin)


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%d %b %H:%M")


def _times(uses: int) -> str:
    return "once" if uses == 1 else f"{uses} times"
