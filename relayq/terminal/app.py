"""`relayq top`: how things are, live, and what can be done about it with one key."""

from __future__ import annotations

import time
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.coordinate import Coordinate
from textual.widgets import DataTable, Footer, Static

from relayq.columns import plain
from relayq.errors import BrokerUnavailable, RelayqError
from relayq.monitoring import Overview, duration
from relayq.store import Store
from relayq.terminal import rows
from relayq.terminal.looking import Looking
from relayq.terminal.output import OutputScreen
from relayq.terminal.question import Question

_HEADS = {"machines": rows.MACHINES, "running": rows.RUNNING, "waiting": rows.WAITING, "last": rows.LAST}


class Top(App[None]):
    """The view. `by` is who pauses."""

    CSS_PATH = "top.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("tab", "app.focus_next", "Next table", show=False),
        Binding("enter", "output", "Output", priority=True),
        Binding("c", "cancel", "Cancel"),
        Binding("p", "pause", "Pause/resume"),
        Binding("d", "drain", "Drain"),
    ]

    def __init__(self, store: Store, url: str | None, by: str) -> None:
        super().__init__()
        self._store = store
        self._by = by
        self._looking = Looking(store, url, self._hand_over)
        self._seen: Overview | None = None
        self._fresh_at = time.monotonic()
        self._trouble: BrokerUnavailable | None = None

    def compose(self) -> ComposeResult:
        """The sentence, four tables, and the keys."""
        yield Static("relayq: looking at the broker …", id="sentence")
        for name in _HEADS:
            yield DataTable[Text](id=name, cursor_type="row", cursor_foreground_priority="renderable")
        yield Footer()

    def on_mount(self) -> None:
        """Look from now on."""
        for name in _HEADS:
            self._fill(name, [])
        self._table("machines").focus()
        self.set_interval(1.0, self._say)
        self._looking.start()

    def on_unmount(self) -> None:
        """And no longer."""
        self._looking.stop()

    # ── what is seen ──

    def _hand_over(self, found: Overview | BrokerUnavailable) -> None:
        if self.is_running:
            self.call_from_thread(self._show, found)

    def _show(self, found: Overview | BrokerUnavailable) -> None:
        if isinstance(found, BrokerUnavailable):
            self._trouble = found
        else:
            self._trouble, self._seen, self._fresh_at = None, found, time.monotonic()
            self._fill("machines", rows.machine_rows(found.machines))
            self._fill("running", rows.running_rows(found.running, found.machines, found.now))
            self._fill("waiting", rows.waiting_rows(found.waiting, found.now))
            self._fill("last", rows.last_rows(found.last))
        self.screen_stack[0].set_class(self._trouble is not None, "stale")
        self._say()

    def _say(self) -> None:
        """The sentence; or that what is seen is old, since when and why."""
        text = Text(self._seen.sentence if self._seen else "relayq", "bold")
        if self._trouble is not None:
            since = duration(time.monotonic() - self._fresh_at)
            text = Text(f"stale since {since} · {plain(str(self._trouble))}", "bold red")
        self.screen_stack[0].query_one("#sentence", Static).update(text)

    def _fill(self, name: str, content: list[rows.Row]) -> None:
        table, heads = self._table(name), _HEADS[name]
        chosen, scrolled = self._chosen(name), table.scroll_y
        table.clear(columns=True)
        for head, width in zip(heads, rows.widths(heads, content, self.size.width - 1), strict=True):
            table.add_column(head, width=width)
        for key, cells in content:
            table.add_row(*cells, key=key)
        keys = [key for key, _ in content]
        if chosen in keys:
            table.cursor_coordinate = Coordinate(keys.index(chosen), 0)
        table.scroll_y = scrolled
        table.set_class(not content, "empty")

    def _table(self, name: str) -> DataTable[Text]:
        return self.screen_stack[0].query_one(f"#{name}", DataTable)

    def _chosen(self, name: str) -> str | None:
        table = self._table(name)
        if not table.row_count:
            return None
        return table.coordinate_to_cell_key(Coordinate(table.cursor_row, 0)).row_key.value

    # ── what is done ──

    def _focused(self) -> tuple[str, str] | None:
        """The table in use, and the row chosen there."""
        name = self.focused.id if isinstance(self.focused, DataTable) else None
        chosen = self._chosen(name) if name else None
        return (name, chosen) if name and chosen else None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what fits the table in use."""
        if action in ("output", "cancel", "pause", "drain"):
            table = self.focused.id if isinstance(self.focused, DataTable) else None
            return {
                "output": table in ("running", "waiting", "last"),
                "cancel": table in ("running", "waiting"),
                "pause": table == "machines",
                "drain": table == "machines",
            }[action]
        return True

    def on_descendant_focus(self) -> None:
        """Other keys fit another table."""
        self.refresh_bindings()

    def action_output(self) -> None:
        """Follow the chosen job's output."""
        if (found := self._focused()) and self._seen is not None:
            every = [*self._seen.running, *self._seen.waiting, *self._seen.last]
            title = next((job.title for job in every if job.id == found[1]), found[1])
            self.push_screen(OutputScreen(self._store, found[1], title))

    def action_cancel(self) -> None:
        """Cancel the chosen job, after a question."""
        if found := self._focused():
            job = found[1]

            def answered(yes: bool | None) -> None:
                if yes:
                    self._do(lambda: self._store.cancel(job), f"{job} is cancelled")

            self.push_screen(Question(f"Cancel {job}?"), answered)

    def action_pause(self) -> None:
        """Pause the chosen machine, or resume it."""
        if (found := self._focused()) and self._seen is not None:
            name = found[1]
            machine = next((machine for machine in self._seen.machines if machine.name == name), None)
            if machine is not None and (machine.pause or machine.state.startswith("quarantined")):
                self._do(lambda: self._store.resume(name), f"{name} takes jobs again")
            else:
                self._do(lambda: self._store.pause(name, by=self._by), f"{name} is paused")

    def action_drain(self) -> None:
        """Drain the chosen machine."""
        if found := self._focused():
            name = found[1]
            self._do(lambda: self._store.pause(name, draining=True, by=self._by), f"{name} is draining")

    def _do(self, act: object, said: str) -> None:
        assert callable(act)

        def run() -> None:
            try:
                act()
            except RelayqError as error:
                self.call_from_thread(self.notify, plain(str(error)), severity="error")
            else:
                self.call_from_thread(self.notify, said)

        self.run_worker(run, thread=True)
