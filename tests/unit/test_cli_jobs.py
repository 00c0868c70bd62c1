"""Looking at jobs from the command line."""

from __future__ import annotations

import json

import pytest

from relayq.model import Chunk, Outcome, Reason, State
from tests.unit.cli import Line

JOB_KEYS = {
    "id", "title", "state", "reason", "message", "exit_code", "signal", "exit", "worker", "kind", "command", "on",
    "needs", "prefer", "cwd", "env", "name", "timeout", "queue_timeout", "retries", "priority", "on_lost", "freeze",
    "submitted_at", "started_at", "ended_at", "not_before", "cancel_requested_at", "duration", "stdout_bytes",
    "stderr_bytes", "output_dropped", "losses", "failures", "retry_of", "attempts",
}  # fmt: skip


@pytest.fixture
def line() -> Line:
    """A command line with one worker."""
    line = Line()
    line.worker()
    return line


def test_list_is_newest_first_and_pages(line: Line) -> None:
    """`--before` goes on where a page ended."""
    for id in ("one", "two", "three"):
        line.now += 1
        line.submit(id)
    assert [job["id"] for job in line.json("list", "--limit", "2")] == ["three", "two"]
    assert [job["id"] for job in line.json("list", "--before", "two")] == ["one"]


def test_list_filters_by_state_and_worker(line: Line) -> None:
    """States may be joined by commas."""
    line.ended("good")
    line.ended("bad", Outcome(reason=Reason.EXITED, exit_code=1))
    line.submit("waiting")
    assert [job["id"] for job in line.json("list", "--state", "queued,failed")] == ["waiting", "bad"]
    assert {job["id"] for job in line.json("list", "--worker", "mac-mini")} == {"good", "bad"}


def test_tables_fit_80_columns_and_hold_no_control_characters(line: Line) -> None:
    """A title is somebody's text: it must neither wrap nor steer the terminal."""
    line.submit("j", command=("echo", "\x1b[31mred\x07", "x" * 200))
    for args in (("list",), ("status",), ("workers",), ("show", "j")):
        result = line(*args)
        assert result.exit_code == 0
        assert "\x1b" not in result.stdout
    assert max(map(len, line("list").stdout.splitlines())) <= 80


def test_a_job_record_keeps_its_keys(line: Line) -> None:
    """Programs depend on the schema; environment values are not in it."""
    line.ended("j", env={"TOKEN": "secret"}, command=("a", "b"))
    record = line.json("show", "j")
    assert set(record) == JOB_KEYS
    assert record["env"] == ["TOKEN"]
    assert record["command"] == ["a", "b"]
    assert (record["state"], record["exit"], record["worker"]) == ("succeeded", 0, "mac-mini")
    assert record["attempts"][0]["worker"] == "mac-mini"
    assert "secret" not in line("show", "j").stdout


def test_show_tells_every_attempt(line: Line) -> None:
    """In plain words."""
    line.submit("j", retries=1, retry_delay=0.0, timeout=9.0)
    line.finish(line.claim(), Outcome(reason=Reason.EXITED, exit_code=3, duration=1.0))
    line.now += 1
    line.finish(line.claim(), Outcome(reason=Reason.TIMED_OUT, signal=15, duration=9.0))
    text = line("show", "last").stdout
    assert "ran longer than its timeout of 9 s on mac-mini" in text
    assert "exited with 3 after 1.0 s" in text
    assert "timed out by signal 15 after 9.0 s" in text


def test_logs_are_byte_exact_and_apart(line: Line) -> None:
    """stdout to stdout, stderr to stderr, whatever the bytes are."""
    out, err = Chunk(stream=1, offset=0, data=b"\x00\xff\n"), Chunk(stream=2, offset=0, data=b"e\r\n")
    line.ended("j", Outcome(reason=Reason.EXITED, exit_code=5, stdout_bytes=3, stderr_bytes=3), out, err)
    result = line("logs", "j")
    assert (result.exit_code, result.stdout_bytes, result.stderr_bytes) == (0, b"\x00\xff\n", b"e\r\n")
    assert line("logs", "j", "--stderr").stdout_bytes == b""
    assert line("logs", "-f", "j").exit_code == 5
    pieces = [json.loads(text) for text in line("logs", "j", "--json").stdout.splitlines()]
    assert pieces == [
        {"stream": "stdout", "offset": 0, "base64": "AP8K"},
        {"stream": "stderr", "offset": 0, "text": "e\r\n"},
    ]


def test_missing_output_is_said(line: Line) -> None:
    """What was not kept is not passed over in silence."""
    head, tail = Chunk(stream=1, offset=0, data=b"a"), Chunk(stream=1, offset=11, data=b"b")
    line.ended("j", Outcome(reason=Reason.EXITED, exit_code=0, stdout_bytes=12), head, tail)
    result = line("logs", "j")
    assert result.stdout == "ab"
    assert "10 bytes of stdout were not kept" in result.stderr


def test_wait_exits_with_the_first_failure_in_the_order_given(line: Line) -> None:
    """Of several jobs."""
    line.ended("good")
    line.ended("bad3", Outcome(reason=Reason.EXITED, exit_code=3))
    line.ended("bad4", Outcome(reason=Reason.EXITED, exit_code=4))
    assert line("wait", "good").exit_code == 0
    result = line("wait", "good", "bad4", "bad3")
    assert (result.exit_code, result.stdout) == (4, "")
    assert "job bad3 failed on mac-mini with exit code 3" in result.stderr


def test_wait_with_timeout_leaves_the_job_alone(line: Line) -> None:
    """Exit code 1 and a sentence; 124 is a job's own timeout."""
    line.submit("j")
    result = line("wait", "j", "--timeout", "10ms")
    assert result.exit_code == 1
    assert "go on" in result.stderr
    [job] = line.store.get(["j"])
    assert job is not None
    assert job.state is State.QUEUED


def test_cancel_says_what_became_of_it(line: Line) -> None:
    """A waiting job ends at once; one that had ended otherwise is a no."""
    line.submit("j")
    result = line("cancel", "j")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "job j was cancelled" in result.stderr
    assert line("cancel", "j").exit_code == 0
    line.ended("k")
    assert line("cancel", "k").exit_code == 1
    line.submit("m")
    line.claim()
    assert "is being ended on mac-mini" in line("cancel", "m").stderr


def test_retry_is_a_new_job(line: Line) -> None:
    """Its id is printed; the old one is named in it."""
    line.ended("j")
    new = line("retry", "j").stdout.strip()
    assert line.json("show", new)["retry_of"] == "j"


def test_explain_says_why_it_waits(line: Line) -> None:
    """The same sentence as everywhere, and one for each machine."""
    line.submit("j", needs=("cuda",))
    assert "j waits: there is no worker that has cuda yet" in line("explain", "j").stdout
    assert line.json("explain", "j") == {
        "id": "j",
        "state": "queued",
        "sentence": "j waits: there is no worker that has cuda yet",
        "machines": {"mac-mini": 'mac-mini lacks "cuda"'},
    }


def test_long_ids_leave_room_for_what_the_job_is(line: Line) -> None:
    """A 1.x client's ids have 43 letters; as it is listed, an id can be given back."""
    line.submit("celery-5c768f71-c808-4890-a89b-2f218c36bcaa", command="sleep\n60")
    line.submit("celery-00768f71-c808-4890-a89b-2f218c36bcaa", command="sleep\n60")
    rows = line("list").stdout.splitlines()
    assert all(len(row) <= 80 and row.endswith("sleep 60") for row in rows[1:])
    shown = rows[2].split()[0]
    assert shown == "celery-5c768f71-c80…"
    assert line.json("show", shown)["id"] == "celery-5c768f71-c808-4890-a89b-2f218c36bcaa"


def test_long_ids_are_still_told_apart(line: Line) -> None:
    """Their first letters are what one types."""
    for number in range(3):
        line.submit(f"backup-of-the-photographs-{number}-of-3")
    shown = [row.split()[0] for row in line("list").stdout.splitlines()[1:]]
    assert shown == [f"backup-of-the-photographs-{number}…" for number in (2, 1, 0)]
    assert [line.json("show", id)["id"][-6] for id in shown] == ["2", "1", "0"]
