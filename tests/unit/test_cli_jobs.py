"""Looking at jobs from the command line."""

from __future__ import annotations

import json

import pytest

from relayq.model import Chunk, Outcome, Reason, State
from tests.unit.cli import Line

JOB_KEYS = {
    "id", "title", "state", "reason", "message", "exit_code", "signal", "exit", "worker", "kind", "command", "on",
    "needs", "prefer", "cwd", "env", "name", "timeout", "queue_timeout", "retries", "priority", "on_lost", "freeze",
    "submitted_at", "started_at", "ended_at", "not_before", "cancel_requested_at", "progress", "progress_message",
    "duration", "stdout_bytes", "stderr_bytes", "output_dropped", "value", "losses", "failures", "retry_of", "attempts",
}  # fmt: skip
KEPT_KEYS = {"stdout_kept", "stderr_kept", "truncated"}


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
    line.columns = 80
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
    assert set(record) == JOB_KEYS | KEPT_KEYS
    assert [set(listed) for listed in line.json("list")] == [JOB_KEYS]
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
    assert result.stderr == "relayq: 1 job has not ended within 0.01 s; it goes on\n"
    line.submit("k")
    assert "2 jobs have not ended within 0.01 s; they go on" in line("wait", "j", "k", "--timeout", "10ms").stderr
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
    line.columns = 80
    line.submit("celery-5c768f71-c808-4890-a89b-2f218c36bcaa", command="sleep\n60")
    line.submit("celery-00768f71-c808-4890-a89b-2f218c36bcaa", command="sleep\n60")
    rows = line("list").stdout.splitlines()
    assert all(len(row) <= 80 and row.endswith("sleep 60") for row in rows[1:])
    shown = rows[2].split()[0]
    assert shown.startswith("celery-5c768f71-c80")
    assert shown.endswith("…")
    assert line.json("show", shown)["id"] == "celery-5c768f71-c808-4890-a89b-2f218c36bcaa"


def test_long_ids_are_still_told_apart(line: Line) -> None:
    """Their first letters are what one types."""
    line.columns = 80
    for number in range(3):
        line.submit(f"backup-of-the-photographs-{number}-of-3", command="tar -c /photographs | ssh nas")
    shown = [row.split()[0] for row in line("list").stdout.splitlines()[1:]]
    assert shown == [f"backup-of-the-photographs-{number}…" for number in (2, 1, 0)]
    assert [line.json("show", id)["id"][-6] for id in shown] == ["2", "1", "0"]


def test_a_program_that_reads_the_list_gets_all_of_it(line: Line) -> None:
    """Nothing is cut at 80 columns where there is no terminal; COLUMNS says otherwise."""
    line.submit("celery-5c768f71-c808-4890-a89b-2f218c36bcaa", command="echo " + "x" * 200)
    row = line("list").stdout.splitlines()[1]
    assert row.startswith("celery-5c768f71-c808-4890-a89b-2f218c36bcaa ")
    assert row.endswith("echo " + "x" * 200)
    line.columns = 80
    assert len(line("list").stdout.splitlines()[1]) <= 80


def test_output_that_is_cut_says_how_much_is_kept(line: Line) -> None:
    """20 of 292 bytes look like an answer, and are none."""
    head, tail = Chunk(stream=1, offset=0, data=b"1\n2\n3\n4\n5\n"), Chunk(stream=1, offset=282, data=b"8\n99\n100\n\n")
    outcome = Outcome(reason=Reason.EXITED, exit_code=0, stdout_bytes=292, stderr_bytes=0)
    line.ended("j", outcome, head, tail, max_output_bytes=20)
    assert "292 bytes stdout, 20 kept; 0 bytes stderr\n" in line("show", "j").stdout
    record = line.json("show", "j")
    assert (record["stdout_bytes"], record["stdout_kept"], record["truncated"]) == (292, 20, True)
    line.ended("k", Outcome(reason=Reason.EXITED, exit_code=0, stdout_bytes=2), Chunk(stream=1, offset=0, data=b"1\n"))
    assert "2 bytes stdout; 0 bytes stderr\n" in line("show", "k").stdout
    record = line.json("show", "k")
    assert (record["stdout_kept"], record["stderr_kept"], record["truncated"]) == (2, 0, False)
    line.submit("m")
    record = line.json("show", "m")
    assert (record["stdout_kept"], record["truncated"]) == (None, None)


def test_output_of_which_nothing_is_kept_is_said_to_be_missing(line: Line) -> None:
    """An empty answer must not look like that of a job that printed nothing."""
    line.ended("j", Outcome(reason=Reason.EXITED, exit_code=0, stdout_bytes=292, stderr_bytes=7), max_output_bytes=0)
    for args in (("logs", "j"), ("logs", "-f", "j")):
        result = line(*args)
        assert result.stdout == ""
        assert "292 bytes of stdout were not kept (see --max-output)" in result.stderr
        assert "7 bytes of stderr were not kept" in result.stderr
    assert "stderr" not in line("logs", "--stdout", "j").stderr


def test_what_is_missing_is_counted_for_each_attempt_anew(line: Line) -> None:
    """The first attempt's output says nothing of the second's."""
    line.submit("j", retries=1, retry_delay=0.0, max_output_bytes=8)
    first, last = Chunk(stream=1, offset=0, data=b"12345678"), Chunk(stream=2, offset=0, data=b"12345678")
    line.finish(line.claim(), Outcome(reason=Reason.EXITED, exit_code=3, stdout_bytes=8), first)
    line.finish(line.claim(), Outcome(reason=Reason.EXITED, exit_code=0, stdout_bytes=5, stderr_bytes=8), last)
    result = line("logs", "-f", "--attempt", "1", "j")
    assert (result.exit_code, result.stdout, result.stderr.count("not kept")) == (0, "12345678", 1)
    assert "5 bytes of stdout were not kept" in result.stderr


def test_logs_of_an_earlier_attempt(line: Line) -> None:
    """What went wrong the first time; only the last two attempts' output is kept."""
    line.submit("j", retries=2, retry_delay=0.0)
    for number in (1, 2, 3):
        text = b"attempt %d\n" % number
        chunk = Chunk(stream=1, offset=0, data=text)
        line.finish(line.claim(), Outcome(reason=Reason.EXITED, exit_code=9, stdout_bytes=len(text)), chunk)
    assert line("logs", "j").stdout == "attempt 3\n"
    assert line("logs", "--attempt", "2", "j").stdout == "attempt 2\n"
    assert line("logs", "-f", "--attempt", "2", "j").stdout == "attempt 2\nattempt 3\n"
    gone = line("logs", "--attempt", "1", "j")
    assert (gone.exit_code, gone.stdout) == (1, "")
    assert "the output of attempt 1 is not kept any more" in gone.stderr
    wrong = line("logs", "--attempt", "4", "j")
    assert wrong.exit_code == 2
    assert "job j has no attempt 4: its last is attempt 3" in wrong.stderr


def test_the_last_lines_of_a_log(line: Line) -> None:
    """Of both streams together or of one; what stands before them is not said to be missing."""
    pieces = [
        Chunk(stream=1, offset=0, data=b"one\ntw"),
        Chunk(stream=2, offset=0, data=b"uno\ndue\n"),
        Chunk(stream=1, offset=6, data=b"o\nthree"),
    ]
    line.ended("j", Outcome(reason=Reason.EXITED, exit_code=0, stdout_bytes=13, stderr_bytes=8), *pieces)

    def tail(*args: str) -> tuple[bytes, bytes]:
        result = line("logs", "j", "--tail", *args)
        assert result.exit_code == 0
        return result.stdout_bytes, result.stderr_bytes

    assert tail("0") == (b"", b"")
    assert tail("1") == (b"three", b"")
    assert tail("3") == (b"two\nthree", b"due\n")
    assert tail("1", "--stderr") == (b"", b"due\n")
    assert tail("2", "-f", "--stdout") == (b"two\nthree", b"")
    assert tail("9") == (b"one\ntwo\nthree", b"uno\ndue\n")
    said = [json.loads(text) for text in line("logs", "j", "--tail", "1", "--json").stdout.splitlines()]
    assert said == [{"stream": "stdout", "offset": 8, "text": "three"}]


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_an_id_that_is_wrong_does_not_spare_the_others(line: Line, verb: str) -> None:
    """What can be done is done, what could not is named, and the exit code tells."""
    line.ended("done")
    line.submit("there")
    line.submit("here-1")
    line.submit("here-2")
    result = line(verb, "nosuch", "here", "no such!", "there")
    assert result.exit_code == 3
    assert "no job has the id nosuch" in result.stderr
    assert "several jobs' ids begin with here" in result.stderr
    assert "'no such!' cannot be a job's id" in result.stderr
    [job] = line.store.get(["there"])
    assert job is not None
    if verb == "cancel":
        assert job.state is State.CANCELLED
    else:
        assert line.json("show", result.stdout.strip())["retry_of"] == "there"
    assert line(verb, "nosuch").exit_code == 3
    assert line(verb, "nosuch", "done").exit_code == 3
