"""Submitting from the command line: what becomes of words and options."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from relayq.model import Chunk, Job, OnLost, Outcome, Reason
from tests.conftest import wait_until
from tests.unit.cli import Line


@pytest.fixture
def line() -> Line:
    """A command line with one worker."""
    line = Line()
    line.worker()
    return line


def submitted(line: Line, *args: str, input: bytes | None = None) -> Job:
    """The job that `relayq submit ARGS` makes."""
    result = line("submit", *args, input=input)
    assert (result.exit_code, result.stderr) == (0, "")
    [job] = line.store.get([result.stdout.strip()])
    assert job is not None
    return job


def test_no_job_is_called_last(line: Line) -> None:
    """It would be hidden behind the newest one for ever."""
    for verb in ("run", "submit"):
        result = line(verb, "--id", "last", "--", "true")
        assert result.exit_code == 2
        assert 'a job cannot have the id "last"' in result.stderr
    assert line.store.page() == []


def test_submit_prints_the_id_only(line: Line) -> None:
    """So that it can be used in $(…)."""
    result = line("submit", "--id", "mine", "--", "true")
    assert result.stdout == "mine\n"
    assert json.loads(line("submit", "--json", "--id", "other", "--", "true").stdout) == {"id": "other"}


def test_one_word_is_for_the_shell_and_several_are_the_argv(line: Line) -> None:
    """Also without `--`, where the first word that is no option begins the command."""
    assert submitted(line, "--", "df -h | head").spec.command == "df -h | head"
    assert submitted(line, "--", "ls", "-l", "a b").spec.command == ("ls", "-l", "a b")
    assert submitted(line, "--name", "x", "ls", "--name", "y").spec.command == ("ls", "--name", "y")


def test_every_option_reaches_the_spec(line: Line) -> None:
    """Durations and sizes with units, lists with commas or repeated."""
    line.worker("rpi", labels=("rpi", "light"))
    options = (
        "--on rpi --needs rpi,light --needs rpi --prefer light --cwd /src --env A=1 --env B=x=y --name build "
        "--timeout 2h --queue-timeout 5m --retries 2 --retry-delay 500ms --priority 5 --on-lost wait --no-freeze "
        "--max-losses 2 --max-output 64K --kill-grace 3s"
    )
    spec = submitted(line, *options.split(), "--stdin", "-", "--", "make", input=b"\x00data").spec
    assert (spec.on, set(spec.needs), spec.prefer) == ("rpi", {"rpi", "light"}, ("light",))
    assert (spec.cwd, dict(spec.env), spec.name) == ("/src", {"A": "1", "B": "x=y"}, "build")
    assert (spec.timeout, spec.queue_timeout, spec.retries, spec.retry_delay) == (7200, 300, 2, 0.5)
    assert (spec.priority, spec.on_lost, spec.freeze, spec.max_losses) == (5, OnLost.WAIT, False, 2)
    assert (spec.max_output_bytes, spec.kill_grace, spec.stdin) == (65536, 3, b"\x00data")


def test_a_script_travels_as_text(line: Line) -> None:
    """From a file or standard input."""
    spec = submitted(line, "--script", "-", input=b"#!/bin/sh\necho 1\n").spec
    assert (spec.script, spec.command) == ("#!/bin/sh\necho 1\n", None)


def test_map_reads_commands_one_a_line(line: Line) -> None:
    """Empty lines are none; ids come in the order of the lines."""
    result = line("map", input="echo 1\n\necho 2\r\n")
    jobs = line.store.get(result.stdout.split())
    assert [job.spec.command for job in jobs if job] == ["echo 1", "echo 2"]


def test_map_fills_a_template(line: Line) -> None:
    """Items are quoted for the shell; without {} they go to the end; they may come from standard input."""

    def commands(*args: str, input: str | None = None) -> list[Any]:
        jobs = line.store.get(line("map", *args, input=input).stdout.split())
        return [job.spec.command for job in jobs if job]

    assert commands("gzip -9 {} >{}", "--", "a b", "-c") == ["gzip -9 'a b' >'a b'", "gzip -9 -c >-c"]
    assert commands("gzip", "--", "it's") == ["gzip 'it'\"'\"'s'"]
    assert commands("gzip", input="x y\nz\n") == ["gzip 'x y'", "gzip z"]


def test_map_of_nothing_queues_nothing(line: Line) -> None:
    """And that is no error: as xargs -r."""
    result = line("map", input="\n")
    assert (result.exit_code, result.stdout) == (0, "")


def test_map_queues_all_or_nothing(line: Line) -> None:
    """A line that is wrong is named before anything runs."""
    result = line("map", input=b"echo 1\n\xff\n")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "line 2 is not text" in result.stderr
    assert line("map", input="echo 1\n" + "x" * 200_000).exit_code == 2
    assert line.store.page() == []


def test_map_wait_streams_ends_and_fails_if_one_did(line: Line) -> None:
    """ID STATE EXIT as each ends."""
    stop = work(line, lambda job: Outcome(reason=Reason.EXITED, exit_code=3 if job.spec.command == "bad" else 0))
    result = line("map", "--wait", input="good\nbad\n")
    stop()
    assert result.exit_code == 1
    assert sorted(text.split()[1:] for text in result.stdout.splitlines()) == [["failed", "3"], ["succeeded", "0"]]


def test_run_shows_both_outputs_and_exits_as_the_job(line: Line) -> None:
    """Bytes exact, streams apart; an ordinary exit code needs no further word."""
    stop = work(
        line,
        lambda _: Outcome(reason=Reason.EXITED, exit_code=7, stdout_bytes=3, stderr_bytes=2),
        Chunk(stream=1, offset=0, data=b"o\xff\n"),
        Chunk(stream=2, offset=0, data=b"e\n"),
    )
    result = line("run", "--", "x")
    stop()
    assert (result.exit_code, result.stdout_bytes, result.stderr_bytes) == (7, b"o\xff\n", b"e\n")


def test_run_json_is_the_job_with_its_output(line: Line) -> None:
    """One document at the end."""
    stop = work(
        line,
        lambda _: Outcome(reason=Reason.EXITED, exit_code=0, stdout_bytes=2),
        Chunk(stream=1, offset=0, data=b"o\n"),
    )
    result = line("run", "--json", "--", "x")
    stop()
    record = json.loads(result.stdout)
    assert (record["state"], record["stdout"], record["stderr"]) == ("succeeded", "o\n", "")
    assert (record["stdout_kept"], record["stderr_kept"], record["truncated"]) == (2, 0, False)


def test_run_marks_output_that_is_cut(line: Line) -> None:
    """In JSON with what is kept of how much, else with a sentence; also if nothing at all is kept."""
    stop = work(
        line,
        lambda _: Outcome(reason=Reason.EXITED, exit_code=0, stdout_bytes=292, stderr_bytes=1),
        Chunk(stream=1, offset=0, data=b"1\n2\n"),
        Chunk(stream=1, offset=288, data=b"100\n"),
        Chunk(stream=2, offset=0, data=b"e"),
    )
    record = json.loads(line("run", "--json", "--max-output", "16", "--", "x").stdout)
    nothing = json.loads(line("run", "--json", "--max-output", "0", "--", "x").stdout)
    said = line("run", "--max-output", "16", "--", "x").stderr
    said_of_nothing = line("run", "--max-output", "0", "--", "x").stderr
    stop()
    cut = {"stdout_bytes": 292, "stdout_kept": 8, "stderr_bytes": 1, "stderr_kept": 1, "truncated": True}
    assert {key: record[key] for key in cut} == cut
    assert (nothing["stdout"], nothing["stdout_kept"], nothing["truncated"]) == ("", 0, True)
    assert said == "relayq: 284 bytes of stdout were not kept (see --max-output)\ne"
    assert "292 bytes of stdout were not kept" in said_of_nothing
    assert "1 byte of stderr was not kept" in said_of_nothing


def test_run_says_once_why_it_waits(line: Line) -> None:
    """After two seconds, on stderr."""
    line.submit("first")
    line.submit("second")
    held = [line.claim(), line.claim()]  # both slots are busy

    def free_a_slot() -> None:
        wait_until(lambda: len(line.store.page(limit=5)) == 3)
        if not threading.Event().wait(2.5):
            for one in held:
                line.finish(one)
            line.finish(line.claim())

    worker = threading.Thread(target=free_a_slot)
    worker.start()
    result = line("run", "--id", "mine", "--", "x")
    worker.join()
    assert result.exit_code == 0
    assert result.stderr == "relayq: mine waits for a free slot: mac-mini is busy\n"


def work(line: Line, outcome: Any, *chunks: Chunk) -> Any:
    """Have the worker end every job as told; call the answer to end that."""
    stop = threading.Event()

    def loop() -> None:
        count = 0
        while not stop.wait(0.005):
            count += 1
            claim = line.store.claim("mac-mini", "i-mac-mini", f"w{count}")
            if claim is not None:
                line.finish(claim.held, outcome(claim.job), *chunks)

    thread = threading.Thread(target=loop)
    thread.start()

    def end() -> None:
        stop.set()
        thread.join()

    return end


def test_a_dry_run_shows_the_placement_and_runs_nothing(line: Line) -> None:
    """Machine by machine, with reasons; the first to be chosen first."""
    line.worker("mac-mini", labels=("heavy",), capabilities=("ffmpeg",))
    line.worker("rpi4-worker", labels=("light",), capabilities=("ffmpeg",))
    told = line("run", "--dry-run", "--", "ffmpeg -i a b")
    assert (told.exit_code, told.stderr) == (0, "")
    assert told.stdout.splitlines() == [
        "it would start on mac-mini",
        "  mac-mini could run it now",
        '  rpi4-worker lacks "heavy", which a rule asks for; mac-mini has it',
    ]
    assert line("run", "--dry-run", "--", "grep x log").stdout.splitlines() == [
        "it would start on rpi4-worker",
        "  rpi4-worker could run it now",
        "  mac-mini could run it now",
    ]
    assert line.store.page() == []


def test_a_dry_run_for_programs_and_of_what_would_be_refused(line: Line) -> None:
    """The same facts as data; 1 if no machine could ever run it."""
    line.worker("rpi4-worker", labels=("light",))
    refused = line("run", "--dry-run", "--json", "--needs", "memory>=4G,heavy", "--", "make")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout) == {
        "sentence": 'no worker can run this job: it needs "heavy" and memory>=4G. See: relayq workers',
        "lane": "needs:heavy+memory>=4G",
        "refused": True,
        "order": [],
        "machines": {
            "mac-mini": 'mac-mini lacks "heavy" and memory>=4G',
            "rpi4-worker": 'rpi4-worker lacks "heavy" and memory>=4G',
        },
    }
    plain = json.loads(line("run", "--dry-run", "--json", "--on", "mac-mini", "--", "make").stdout)
    assert (plain["order"], plain["refused"], plain["lane"]) == (["mac-mini"], False, "on:mac-mini")
    assert line("run", "--dry-run", "--needs", "memory<4G", "--", "make").exit_code == 2


def test_a_command_with_a_rule_is_never_refused(line: Line) -> None:
    """Neither where nobody has its program, nor where there is no worker at all."""
    assert submitted(line, "--", "blender -b a").lane == "with:blender first:heavy"
    assert line.claim().job
    empty = Line()
    assert submitted(empty, "--", "ffmpeg -i a b").lane == "with:ffmpeg first:heavy"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["transcribe", "talk.mp3"], "python3 -m pip install faster-whisper"),
        (["transcribe", "--engine", "whisper.cpp", "talk.mp3"], "brew install whisper-cpp"),
        (["transcode", "a.mov", "b.mp4"], "apt install ffmpeg"),
    ],
)
def test_what_no_machine_can_do_is_refused_with_what_to_install(line: Line, argv: list[str], words: str) -> None:
    """Also by a dry run; with --queue-anyway it waits for somebody who does."""
    refused = line(*argv)
    assert refused.exit_code == 255
    assert "no worker can run this job: it needs" in refused.stderr
    assert words in refused.stderr
    told = line(argv[0], "--dry-run", *argv[1:])
    assert told.exit_code == 1
    assert words in told.stdout
    queued = line(argv[0], "--queue-anyway", "--detach", *argv[1:])
    assert queued.exit_code == 0
    [job] = line.store.page()
    assert job.id == queued.stdout.strip()
