"""The output of a job, followed on a screen of its own."""

from __future__ import annotations

import threading
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Footer, RichLog, Static

from relayq.columns import plain
from relayq.errors import RelayqError
from relayq.lines import Lines
from relayq.store import Store

EVERY = 0.5  #: seconds between two looks for more
MOST_LINES = 20_000  #: kept on the screen


class OutputScreen(Screen[None]):
    """From `title`'s job until Escape."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "app.pop_screen", "Back"),
        Binding("f", "follow", "Follow"),
    ]

    def __init__(self, store: Store, job: str, title: str) -> None:
        super().__init__()
        self._store = store
        self._job = job
        self._title = title
        self._over = threading.Event()

    def compose(self) -> ComposeResult:
        """A title, the lines and the keys."""
        yield Static(Text(plain(self._title), "bold", no_wrap=True), id="sentence")
        yield RichLog(max_lines=MOST_LINES, id="output")
        yield Footer()

    def on_mount(self) -> None:
        """Read along, in a thread."""
        self.run_worker(self._read, thread=True)

    def on_unmount(self) -> None:
        """Stop."""
        self._over.set()

    def action_follow(self) -> None:
        """Whether new lines are scrolled to."""
        log = self.query_one(RichLog)
        log.auto_scroll = not log.auto_scroll

    def _read(self) -> None:
        attempt: int | None = None
        position, lines = 0, {1: Lines(), 2: Lines()}
        while not self._over.is_set():
            try:
                output = self._store.output(self._job, attempt=attempt, position=position)
                [job] = self._store.get([self._job])
            except RelayqError as error:
                self._say([Text(str(error), "red")])
                self._over.wait(EVERY * 4)
                continue
            new = [_line(line, chunk.stream) for chunk in output.chunks for line in lines[chunk.stream].add(chunk)]
            attempt, position = output.attempt or None, output.next
            newer = job is not None and attempt is not None and len(job.attempts) > attempt
            if output.ended and not output.chunks:
                new += [_line(line, stream) for stream in lines for line in lines[stream].end()]
                if newer and attempt is not None:
                    attempt, position = attempt + 1, 0
                    new.append(Text(f"─── attempt {attempt}", "dim"))
                elif job is None or job.state.ended:
                    self._say([*new, Text("─── the end", "dim")])
                    return
            self._say(new)
            self._over.wait(0.0 if output.chunks else EVERY)

    def _say(self, new: list[Text]) -> None:
        if new and not self._over.is_set():
            self.app.call_from_thread(self._write, new)

    def _write(self, new: list[Text]) -> None:
        log = self.query_one(RichLog)
        for text in new:
            log.write(text)


def _line(line: str, stream: int) -> Text:
    """A line as a terminal of its own would show it: colours, and of a progress bar the last state."""
    text = Text.from_ansi(line.rstrip("\r\n").rpartition("\r")[2], style="red" if stream == 2 else "")
    text.plain = plain(text.plain)
    return text
