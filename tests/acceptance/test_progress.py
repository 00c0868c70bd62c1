"""A job says how far it is, and everybody who looks sees it: from a real worker, on real terminals."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest

from relayq.handle import JobHandle
from tests.conftest import wait_until

from .conftest import Fleet
from .test_cli import RELAYQ, Shell


@pytest.fixture
def shell(crew: Fleet, tmp_path: Path) -> Shell:
    return Shell(tmp_path / "home", crew.url)


def job(folder: Path) -> str:
    """Says how far it is, and ends when a file is there."""
    return (
        f"echo begin; echo '::progress 0.25 a quarter' >&2; until [ -e '{folder}/go' ]; do sleep 0.05; done; echo end"
    )


def told(handle: JobHandle) -> object:
    return handle.info.get("progress") is not None


def test_progress_is_there_within_a_second(crew: Fleet, tmp_path: Path, shell: Shell) -> None:
    """Although a pulse comes every four: it travels with the output."""
    times = []
    for n in range(3):
        handle = crew.client.run(
            f"read line; echo $line; until [ -e '{tmp_path}/go' ]; do sleep 0.02; done", stdin="::progress 5/9"
        )
        lines = handle.logs(follow=True)
        assert next(lines) == "::progress 5/9\n"
        heard = time.monotonic()
        wait_until(partial(told, handle), 3, handle.job)
        times.append(time.monotonic() - heard)
        assert handle.info == {"progress": 0.5556, "message": None}
        (tmp_path / "go").touch()
        assert handle.get(timeout=20) == "::progress 5/9\n", n
        assert handle.info == {}
        (tmp_path / "go").unlink()
    assert max(times) < 1


def test_progress_is_shown_wherever_the_job_is(crew: Fleet, tmp_path: Path, shell: Shell) -> None:
    """`status`, `show`, `list`, `explain` and their JSON."""
    handle = crew.client.run(job(tmp_path), name="film", on="mac-mini")
    wait_until(lambda: told(handle))
    assert "a quarter" in str(handle.explain())
    status = shell("status").stdout
    assert re.search(rf"{handle.id}  mac-mini .*  25 %, a quarter  film\n", status)
    [running] = [one for one in shell.json("status")["running"] if one["id"] == handle.id]
    assert (running["worker"], running["progress"], running["progress_message"]) == ("mac-mini", 0.25, "a quarter")
    assert "25 %, a quarter" in shell("show", handle.id).stdout
    assert "running 25 %" in shell("list", "--state", "running").stdout
    for record in (shell.json("show", handle.id), *shell.json("list", "--state", "running")):
        assert (record["progress"], record["progress_message"]) == (0.25, "a quarter")
    (tmp_path / "go").touch()
    handle.get(timeout=20)
    assert shell.json("show", handle.id)["progress"] is None


@pytest.mark.parametrize("verb", ["run", "logs", "logs --tail 0"])
def test_on_a_terminal_there_is_a_bar(crew: Fleet, tmp_path: Path, shell: Shell, verb: str) -> None:
    """Instead of the line that moves it; what else the job prints stands above."""
    if verb == "run":
        argv = ["run", "--", job(tmp_path)]
    else:
        handle = crew.client.run(job(tmp_path))
        wait_until(lambda: told(handle))
        argv = ["logs", handle.id, "-f", *verb.split()[1:]]
    seen = on_terminal([*RELAYQ, *argv], shell.env, until="25 %, a quarter", then=tmp_path / "go")
    assert ("begin\r\n" in seen) == ("--tail" not in verb)
    assert "[#####...............] 25 %, a quarter" in seen
    assert "::progress" not in seen
    assert "end\r\n" in seen
    assert seen.endswith("\r\x1b[K")


def test_without_a_terminal_output_is_what_was_printed(crew: Fleet, tmp_path: Path, shell: Shell) -> None:
    """Byte for byte, with the lines that say how far it is."""
    (tmp_path / "go").touch()
    done = shell("run", "--", job(tmp_path))
    assert (done.stdout, done.stderr) == ("begin\nend\n", "::progress 0.25 a quarter\n")


def on_terminal(argv: list[str], env: dict[str, str], *, until: str, then: Path) -> str:
    """What this prints on a terminal of its own; as soon as it has said `until`, the file `then` is made."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        argv, env={**env, "TERM": "xterm", "COLUMNS": "100"}, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen = ""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        seen += piece.decode()
        if until in seen:
            then.touch()
    os.close(ours)
    assert process.wait(20) == 0, seen
    return seen
