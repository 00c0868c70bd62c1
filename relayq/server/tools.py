"""What the routes work with: made once for an application, connected when first used."""

from __future__ import annotations

import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry

from relayq.client import open_store
from relayq.config import Settings
from relayq.server.doors import Caller, Doors
from relayq.server.follower import Follower
from relayq.server.index import Index
from relayq.server.indexing import Indexer
from relayq.server.live import Live
from relayq.server.metrics import Happenings, Present
from relayq.server.output_news import OutputNews
from relayq.store import Store

STORE_TIMEOUT = 3.0  #: seconds a call to the broker may take: whoever asks sees within that time that it is away


@dataclass(frozen=True)
class Tools:
    """One application's. Entered, it follows what happens."""

    settings: Settings
    store: Store
    doors: Doors
    live: Live
    follower: Follower
    index: Index
    indexer: Indexer
    index_follower: Follower
    output_news: OutputNews
    metrics: CollectorRegistry

    def __enter__(self) -> Tools:
        self.follower.start()
        self.index_follower.start()
        self.output_news.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.follower.stop()
        self.index_follower.stop()
        self.indexer.stop()
        self.output_news.stop()


def make_tools(settings: Settings, admin_url: str, *, read_only: bool) -> Tools:
    """For the broker of these settings. Raises BrokerRefused for an address that is none."""
    live = Live(open_store(settings), settings.broker_url)
    events, history = open_store(settings), open_store(settings)
    index = Index(_index_file(settings))
    metrics = CollectorRegistry()
    metrics.register(Present(open_store(settings, timeout=STORE_TIMEOUT)))
    indexer = Indexer(history, index, settings.keep, Happenings(metrics).heard)
    return Tools(
        settings=settings,
        store=open_store(settings, timeout=STORE_TIMEOUT),
        doors=Doors(admin_url, read_only=read_only),
        live=live,
        follower=Follower(events, [live], lambda: events.events_kept()[1]),
        metrics=metrics,
        index=index,
        indexer=indexer,
        index_follower=Follower(history, [indexer], indexer.start_at),
        output_news=OutputNews(
            open_store(settings), f"server-{secrets.token_hex(8)}", lambda: live.watched, live.output_came
        ),
    )


def _index_file(settings: Settings) -> Path:
    """In our home, else where it lasts until the next start: it can be made anew."""
    folder = settings.home / "server"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder / "index.sqlite"
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="relayq-")) / "index.sqlite"


def tools_of(request: Request) -> Tools:
    """The application's."""
    return cast("Tools", request.app.state.tools)


def caller_of(request: Request) -> Caller:
    """Who asks; the gate lets nobody through without."""
    return cast("Caller", request.state.caller)


ToolsOf = Annotated[Tools, Depends(tools_of)]
CallerOf = Annotated[Caller, Depends(caller_of)]
