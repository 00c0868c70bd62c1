"""The worker's log: what a line looks like, what never stands in it, and that it is bounded."""

from __future__ import annotations

import contextlib
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from relayq.worker import logfile

LOG = logging.getLogger("relayq.worker")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Logging is the process's; the other tests get theirs back."""
    root, ours = logging.getLogger(), logging.getLogger("relayq")
    before = root.handlers[:], root.level, ours.level
    root.handlers[:] = []
    yield
    for handler in root.handlers:
        with contextlib.suppress(OSError):
            handler.close()
    root.handlers[:], root.level, ours.level = before
    logging.captureWarnings(False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A log in a folder that does not exist yet."""
    file = tmp_path / "logs" / "50% of it" / "worker.log"
    logfile.set_up("INFO", file)
    return file


def test_an_event_is_a_line_with_its_keys(file: Path) -> None:
    """What is told beside the message is what one looks for."""
    LOG.info("ending a superseded process", extra={"job": "abc", "attempt": 2})
    LOG.warning("broker away", extra={"error": 'it said "no"\nand left', "empty": ""})
    first, second = file.read_text().splitlines()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d INFO relayq\.worker ending a superseded process job=abc attempt=2", first
    )
    assert second.endswith(r'''WARNING relayq.worker broker away error="it said \"no\"\nand left" empty=""''')


def test_a_message_cannot_steer_the_terminal_or_fake_a_line(file: Path) -> None:
    """Messages have others' words in them."""
    LOG.info("so\n2026-11-25T03:00:00 INFO relayq.worker \x1b[2Jso", extra={"x": "\x1b[2J"})
    [line] = file.read_text().splitlines()
    assert "\x1b" not in line


def test_of_others_only_the_sentence_is_told(file: Path) -> None:
    """Celery's records have the arguments of a 1.x task, a command line, in their keys and below their first line."""
    celery = logging.getLogger("celery.worker.consumer")
    celery.error(
        "Received unregistered task of type %s.\n\nbody: %s", "x", "--password=hunter2", extra={"data": "hunter2"}
    )
    try:
        raise ValueError("hunter2")
    except ValueError:
        celery.error("Task failed", exc_info=True)
    text = file.read_text()
    assert "unregistered task of type x" in text
    assert "Task failed exception=ValueError" in text
    assert "hunter2" not in text


def test_others_debug_lines_are_not_wanted(tmp_path: Path) -> None:
    """Celery's pool tells every task's arguments at DEBUG."""
    logfile.set_up("DEBUG", tmp_path / "log")
    LOG.debug("ours")
    logging.getLogger("celery.pool").debug("TaskPool: Apply x (args:['hunter2'])")
    assert (tmp_path / "log").read_text().count("\n") == 1


def test_an_unexpected_error_of_ours_shows_where_it_arose(file: Path) -> None:
    """Indented, so that an event still begins at the left."""
    try:
        raise ValueError("so")
    except ValueError:
        LOG.exception("the pulse failed")
    first, *rest = file.read_text().splitlines()
    assert first.endswith("ERROR relayq.worker the pulse failed")
    assert rest[-1] == "    ValueError: so"
    assert all(line.startswith("    ") for line in rest)


def test_the_level_counts(tmp_path: Path) -> None:
    """Also for others' records."""
    logfile.set_up("WARNING", tmp_path / "log")
    LOG.info("one")
    logging.getLogger("celery").info("two")
    LOG.warning("three")
    assert "three" in (tmp_path / "log").read_text()
    assert (tmp_path / "log").read_text().count("\n") == 1


def test_a_file_that_cannot_be_written_is_said_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A worker works also without its log."""
    (tmp_path / "file").write_text("")
    logfile.set_up("INFO", tmp_path / "file" / "worker.log")
    LOG.info("working")
    first, second = capsys.readouterr().err.splitlines()
    assert f"file={tmp_path}/file/worker.log" in first
    assert second.endswith("working")


def test_a_full_disk_costs_lines_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback for each of them."""
    logfile.set_up("INFO", Path("/dev/full"))
    LOG.info("working")
    assert capsys.readouterr().err == ""


TALKATIVE = """
import logging, os, sys
from pathlib import Path
from relayq.worker import logfile
logfile.LIMIT_BYTES = 4096
logfile.set_up("INFO", Path(sys.argv[1]))
log = logging.getLogger("relayq.worker")
for n in range(1000):
    log.info("event %s", n)
    os.write(2, b"said by a library\\n")
log.info("the last")
"""


def test_the_log_is_bounded_with_what_else_is_said_there(tmp_path: Path) -> None:
    """`relayq up` sends standard error to the same file: it must not go on growing under an old name."""
    file = tmp_path / "worker.log"
    with file.open("ab") as stderr:
        subprocess.run([sys.executable, "-c", TALKATIVE, file], stderr=stderr, check=True)
    logs = sorted(tmp_path.iterdir())
    assert [log.name for log in logs] == ["worker.log", "worker.log.1", "worker.log.2"]
    assert sum(log.stat().st_size for log in logs) < 3 * 4096 + 1000
    assert all("said by a library" in log.read_text() for log in logs)
    assert file.read_text().splitlines()[-1].endswith("the last")
    assert all(log.stat().st_mode & 0o077 == 0 for log in logs[:1])
