"""`relayq top`: the live view in the terminal, on real workers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import re
import select
import struct
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, RichLog, Static

from relayq.client import open_store
from relayq.config import Settings
from relayq.model import State
from relayq.terminal.app import Top
from tests.acceptance.conftest import Fleet
from tests.conftest import free_port, wait_until


def drive(url: str, steps: Callable[[Top, Pilot[None]], Awaitable[None]]) -> None:
    """Run the view on a broker without a terminal, and do something with it."""

    async def run() -> None:
        store = open_store(Settings(broker_url=url))
        top = Top(store, url, "anna@nas")
        try:
            async with top.run_test(size=(140, 40)) as pilot:
                await steps(top, pilot)
        finally:
            store.close()

    asyncio.run(run())


async def until(pilot: Pilot[None], condition: Callable[[], bool], timeout: float = 20.0) -> None:
    """Wait until the screen is so."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, seen(pilot)
        await pilot.pause(0.05)


def table(pilot: Pilot[None], name: str) -> str:
    """What stands in a table."""
    found = pilot.app.screen_stack[0].query_one(f"#{name}", DataTable)
    return "\n".join(" ".join(str(cell) for cell in found.get_row_at(row)) for row in range(found.row_count))


def sentence(pilot: Pilot[None]) -> str:
    """The first line."""
    return str(pilot.app.screen_stack[0].query_one("#sentence", Static).render())


def seen(pilot: Pilot[None]) -> str:
    """Everything, for a test that waits in vain."""
    return "\n".join([sentence(pilot), *(table(pilot, name) for name in ("machines", "running", "waiting", "last"))])


def test_machines_and_jobs_are_seen_as_they_change(crew: Fleet) -> None:
    """The same data as the dashboard's, in a terminal."""
    gate = crew.folder / "gate"

    async def steps(_: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "2 of 2 machines up" in sentence(pilot))
        assert "mac-mini" in table(pilot, "machines")
        handle = crew.client.run(
            f"while [ ! -e {gate} ]; do sleep 0.1; done; exit 5", name="a job \x1b[31mwith red\x07"
        )
        await until(pilot, lambda: "a job ?[31mwith red?" in table(pilot, "running"))
        gate.touch()
        await until(pilot, lambda: "exit 5" in table(pilot, "last"))
        handle.result(10)

    drive(crew.url, steps)


def test_a_job_is_cancelled_and_a_machine_paused_by_keys(crew: Fleet) -> None:
    """What is seen can be acted upon, and a question stands before what ends work."""

    async def steps(top: Top, pilot: Pilot[None]) -> None:
        handle = crew.client.run("sleep 600", on="mac-mini", name="to be cancelled")
        await until(pilot, lambda: "to be cancelled" in table(pilot, "running"))
        top.query_one("#running", DataTable).focus()
        await pilot.press("c", "n")
        assert handle.job().state is State.RUNNING
        await pilot.press("c", "y")
        await until(pilot, lambda: "∅ cancelled" in table(pilot, "last"))
        top.query_one("#machines", DataTable).focus()
        await pilot.press("p")
        await until(pilot, lambda: "‖ paused by anna@nas" in table(pilot, "machines"))
        waits = crew.client.run("echo later", on="mac-mini", name="it waits")
        await until(pilot, lambda: "it waits" in table(pilot, "waiting"))
        assert "waits for mac-mini, which is paused by anna@nas" in table(pilot, "waiting")
        await pilot.press("p")
        await until(pilot, lambda: "● online" in table(pilot, "machines").splitlines()[0])
        waits.result(20)

    drive(crew.url, steps)


def test_the_output_of_a_job_is_followed(crew: Fleet) -> None:
    """One key from the list to what it prints."""
    gate = crew.folder / "gate2"

    async def steps(top: Top, pilot: Pilot[None]) -> None:
        crew.client.run(
            f"echo first; while [ ! -e {gate} ]; do sleep 0.1; done; echo second; echo oh >&2", name="talks"
        )
        await until(pilot, lambda: "talks" in table(pilot, "running"))
        top.query_one("#running", DataTable).focus()
        await pilot.press("enter")

        def lines() -> list[str]:
            logs = list(pilot.app.screen.query(RichLog))
            return [strip.text.strip() for strip in logs[0].lines] if logs else []

        await until(pilot, lambda: "first" in lines())
        gate.touch()
        await until(pilot, lambda: {"second", "oh", "─── the end"} <= set(lines()))
        await pilot.press("escape")
        assert top.query_one("#running", DataTable).has_focus

    drive(crew.url, steps)


def test_a_broker_that_goes_away_makes_the_view_stale(tmp_path: Path) -> None:
    """Old data is never shown as fresh."""
    url = f"redis://127.0.0.1:{free_port()}/0"

    async def steps(top: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: sentence(pilot).startswith("stale since"))
        assert top.screen.has_class("stale")

    drive(url, steps)


class Terminal:
    """`relayq top` at a terminal."""

    def __init__(self, url: str, home: Path) -> None:
        self.screen = ""
        self._ours, theirs = pty.openpty()
        ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
        env = {**os.environ, "RELAYQ_HOME": str(home), "RELAYQ_BROKER_URL": url, "TERM": "xterm-256color"}
        argv = [sys.executable, "-m", "relayq", "top"]
        self.process = subprocess.Popen(argv, env=env, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True)
        os.close(theirs)

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._ours, keys.encode())

    def read(self) -> str:
        """All that was ever written, without control sequences."""
        while select.select([self._ours], [], [], 0.05)[0]:
            try:
                self.screen += os.read(self._ours, 65536).decode("utf-8", "replace")
            except OSError:
                break
        return re.sub(r"\x1b(\[[0-?]*[ -/]*[@-~]|.)", "", self.screen)

    def end(self) -> None:
        """Whatever happens."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        os.close(self._ours)


@pytest.fixture
def terminal(crew: Fleet, tmp_path: Path) -> Iterator[Terminal]:
    """The command itself."""
    started = Terminal(crew.url, tmp_path)
    yield started
    started.end()


def test_the_command_opens_the_view_and_q_leaves_it(terminal: Terminal) -> None:
    """The terminal is given back as it was."""
    wait_until(lambda: "machines up" in terminal.read() and "rpi4-worker" in terminal.read(), 20, terminal.read)
    terminal.press("q")
    wait_until(lambda: terminal.read() is not None and terminal.process.poll() is not None, 10, terminal.read)
    assert terminal.process.returncode == 0
    assert "\x1b[?1049l" in terminal.screen, "the other screen is left"


def test_without_a_terminal_or_textual_it_says_what_to_do(crew: Fleet, tmp_path: Path) -> None:
    """A worker stays light: who wants the view installs what it needs."""
    env = {**os.environ, "RELAYQ_HOME": str(tmp_path), "RELAYQ_BROKER_URL": crew.url}
    ended = subprocess.run(
        [sys.executable, "-m", "relayq", "top"], env=env, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (5, "")
    assert "relayq status" in ended.stderr
    (tmp_path / "textual.py").write_text("raise ModuleNotFoundError(\"No module named 'textual'\", name='textual')")
    script = "import sys; sys.argv[1:] = ['top']; from relayq.cli import main; main()"
    ours, theirs = pty.openpty()
    env["PYTHONPATH"] = str(tmp_path)
    argv = [sys.executable, "-c", script]
    ended = subprocess.run(argv, env=env, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, text=True, check=False)
    os.close(ours)
    os.close(theirs)
    assert ended.returncode == 5
    assert "-m pip install" in ended.stderr
