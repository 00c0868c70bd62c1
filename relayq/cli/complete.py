"""What the shell offers after Tab: job ids and workers, asked of the store for a moment, silent about trouble."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from relayq.store import Store

PATIENCE = 1.0  #: seconds; who presses Tab does not wait longer
OFFERED = 50


def complete_job(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The newest jobs whose ids begin like this."""

    def look(store: Store) -> list[CompletionItem]:
        found = [CompletionItem(job.id, help=f"{job.state} {job.spec.title:.50}") for job in store.page(limit=OFFERED)]
        return [*found, CompletionItem("last", help="the newest job")]

    return _matching(ctx, look, incomplete)


def complete_worker(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Workers whose names begin like this."""
    return _matching(ctx, lambda store: [CompletionItem(w.info.name) for w in store.workers()[1]], incomplete)


def _matching(
    ctx: click.Context, look: Callable[[Store], list[CompletionItem]], incomplete: str
) -> list[CompletionItem]:
    from relayq.cli.context import App

    app = ctx.find_object(App) or App()
    found: list[CompletionItem] = []

    def ask() -> None:
        with suppress(Exception):  # a word of trouble would stand in the user's command line
            found.extend(look(app.store))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return [item for item in list(found) if item.value.startswith(incomplete)]
