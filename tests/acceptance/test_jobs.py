"""What a job can be, on real workers."""

from __future__ import annotations

import itertools
import math
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from relayq.errors import JobFailed, NoSuchWorker, OutputTruncated, ResultTimeout
from relayq.model import Reason, State
from tests.conftest import wait_until

from .conftest import Fleet


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_command_gives_its_stdout(crew: Fleet) -> None:
    """The one line that everything else serves."""
    assert crew.client.run("echo hello").get(timeout=10) == "hello\n"


def test_the_streams_stay_apart_and_the_exit_code_is_the_jobs(crew: Fleet) -> None:
    """And a failed job raises with what it said."""
    handle = crew.client.run("echo a; echo b >&2; exit 7")
    result = handle.result(timeout=10)
    assert (result.stdout, result.stderr, result.exit_code) == (b"a\n", b"b\n", 7)
    assert (result.state, result.reason) == (State.FAILED, Reason.EXITED)
    assert result.worker in {"mac-mini", "rpi4-worker"}
    assert result.submitted_at <= (result.started_at or 0) <= result.ended_at
    with pytest.raises(JobFailed, match="exit code 7"):
        handle.get()
    assert "b\n" in (handle.traceback or "")


@pytest.mark.parametrize(
    ("command", "stdout"),
    [
        ("printf 'a b' | tr a-z A-Z", "A B"),
        ("cat <<'END'\nit's \"$HOME\"\nEND", 'it\'s "$HOME"\n'),
        ("for i in 1 2 3; do echo $i; done | tail -1", "3\n"),
        (["printf", "%s|", "a b", "$HOME", "it's", ""], "a b|$HOME|it's||"),
        ("echo ünïcödé 日本", "ünïcödé 日本\n"),
    ],
)
def test_commands_are_as_the_shell_sees_them_and_lists_are_exact(
    crew: Fleet, command: str | list[str], stdout: str
) -> None:
    """Pipes, quotes, here-documents; no shell for a list."""
    assert crew.client.run(command).get(timeout=10) == stdout


def test_binary_output_and_input_are_byte_exact(crew: Fleet) -> None:
    """Every byte there is."""
    data = bytes(range(256)) * 300
    result = crew.client.run("cat; cat /dev/null >&2", stdin=data).result(timeout=10)
    assert result.stdout == data
    assert result.stderr == b""


def test_a_script_is_run_by_its_first_line(crew: Fleet, tmp_path: Path) -> None:
    """Any language; stdin stays free for data."""
    script = "#!/usr/bin/env python3\nimport sys\nprint(sys.stdin.read().upper())\n"
    assert crew.client.run(script=script, stdin="abc").get(timeout=10) == "ABC\n"
    assert crew.client.run(script="echo $((6 * 7))").get(timeout=10) == "42\n"
    left = [path for worker in crew.workers.values() for path in worker.home.glob("work/*")]
    wait_until(lambda: not [p for w in crew.workers.values() for p in w.home.glob("work/*")], describe=lambda: left)


def test_cwd_and_env_are_given_and_secrets_are_not(crew: Fleet, tmp_path: Path) -> None:
    """P15: the worker's environment without relayq's secrets, plus the job's own and its name."""
    folder = tmp_path / "with space"
    folder.mkdir()
    handle = crew.client.run("pwd; echo $FOO; env", cwd=str(folder), env={"FOO": "bar baz"})
    lines = handle.get(timeout=10).splitlines()
    assert lines[:2] == [str(folder), "bar baz"]
    assert f"RELAYQ_JOB_ID={handle.id}" in lines
    assert "RELAYQ_ATTEMPT=1" in lines
    assert not [line for line in lines if "redis://" in line or line.startswith("CELERY")]


def test_without_cwd_a_job_runs_in_the_home_of_the_workers_user(crew: Fleet) -> None:
    """And not wherever the worker was started."""
    assert crew.client.run("pwd").get(timeout=10).strip() == os.path.realpath(Path.home())


@pytest.mark.parametrize("given", ["~", "~/"])
def test_a_tilde_is_the_home_of_the_workers_user(crew: Fleet, given: str) -> None:
    """Whoever submits knows neither its name nor its folder; and HOME may be another's for the job."""
    home = os.path.realpath(Path.home())
    assert crew.client.run("pwd", cwd=given).get(timeout=10) == f"{home}\n"
    assert crew.client.run("pwd", cwd=given, env={"HOME": "/"}).get(timeout=10) == f"{home}\n"
    with pytest.raises(JobFailed, match=f"no such folder: {Path.home()}/no/such"):
        crew.client.run("pwd", cwd="~/no/such").get(timeout=10)


@pytest.mark.parametrize(
    ("command", "cwd", "words"),
    [("true", "/no/such/folder", "no such folder"), (["no-such-program"], None, "no such program")],
)
def test_what_cannot_start_says_whose_fault_it_is(
    crew: Fleet, command: str | list[str], cwd: str | None, words: str
) -> None:
    """The job's: it fails at once, without a retry, naming the machine."""
    handle = crew.client.run(command, cwd=cwd, retries=3)
    result = handle.result(timeout=10)
    assert (result.state, result.reason) == (State.FAILED, Reason.NOT_STARTED)
    with pytest.raises(JobFailed, match=words) as caught:
        handle.get()
    assert str(result.worker) in str(caught.value)


def test_a_timeout_ends_the_whole_group_also_one_that_ignores_term(crew: Fleet, tmp_path: Path) -> None:
    """TERM, grace, KILL: a bounded end."""
    pids = tmp_path / "pids"
    command = f"trap '' TERM; (trap '' TERM; sleep 600) & echo $$ $! > {pids}; wait; sleep 600"
    result = crew.client.run(command, timeout=0.5, kill_grace=0.5).result(timeout=15)
    assert (result.state, result.reason) == (State.FAILED, Reason.TIMED_OUT)
    wait_until(lambda: not any(alive(int(pid)) for pid in pids.read_text().split()))


def test_cancel_ends_grandchildren_that_left_with_the_pipes(crew: Fleet, tmp_path: Path) -> None:
    """A daemonised child in a session of its own holds the output open; it does not outlive its job (P12)."""
    pid = tmp_path / "pid"
    handle = crew.client.run(f"setsid sh -c 'echo $$ > {pid}; exec sleep 600' & echo started; sleep 600")
    wait_until(lambda: pid.exists() and pid.read_text().strip())
    started = time.monotonic()
    handle.cancel()
    result = handle.result(timeout=15)
    assert time.monotonic() - started < 5
    assert (result.state, result.reason) == (State.CANCELLED, Reason.CANCELLED)
    wait_until(lambda: not alive(int(pid.read_text())))


def test_a_cancelled_waiting_job_never_runs(crew: Fleet, tmp_path: Path) -> None:
    """Also behind a busy machine."""
    blockers = [crew.client.run_on("mac-mini", "sleep 30") for _ in range(2)]
    waiting = crew.client.run_on("mac-mini", f"touch {tmp_path}/ran")
    wait_until(lambda: crew.client.worker_status()["workers"]["mac-mini"]["active_jobs"] == 2)
    assert "free slot" in waiting.explain().sentence
    assert waiting.cancel().state is State.CANCELLED
    for blocker in blockers:
        blocker.cancel()
    for blocker in blockers:
        assert blocker.result(timeout=15).state is State.CANCELLED
    assert not (tmp_path / "ran").exists()


def test_retries_count_attempts(crew: Fleet, tmp_path: Path) -> None:
    """The third try succeeds; every attempt is in the record."""
    counter = tmp_path / "n"
    handle = crew.client.run(
        f"echo x >> {counter}; test $(wc -l < {counter}) -ge 3 && echo done", retries=5, retry_delay=0.1
    )
    assert handle.get(timeout=30) == "done\n"
    assert [a.outcome.exit_code for a in handle.job().attempts if a.outcome] == [1, 1, 0]


def test_a_retry_comes_when_it_is_due_also_where_nothing_else_happens(crew: Fleet) -> None:
    """Not with the next pulse, which may be four seconds away."""
    handle = crew.client.run("exit 4", retries=2, retry_delay=0.2)
    attempts = handle.result(timeout=20).attempts
    gaps = [after.claimed_at - (before.ended_at or 0) for before, after in itertools.pairwise(attempts)]
    assert 0.2 <= gaps[0] < 1.2
    assert 0.4 <= gaps[1] < 1.4


def test_a_line_is_seen_within_half_a_second_of_its_printing(crew: Fleet) -> None:
    """Watching live is the point."""
    handle = crew.client.run("for i in 1 2 3 4; do date +%s.%N; sleep 0.4; done")
    delays = [time.time() - float(line) for line in handle.logs(follow=True)]
    assert len(delays) == 4
    assert max(delays) < 0.5


def test_following_gives_every_byte_in_order_also_in_the_middle(crew: Fleet) -> None:
    """A follower that comes late reads from the start, and goes on to the end."""
    handle = crew.client.run("i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; sleep 0.3; echo end")
    text = "".join(handle.logs(follow=True))
    assert text == "".join(f"line {i}\n" for i in range(2000)) + "end\n"


def test_endless_output_is_bounded_and_its_end_is_kept(crew: Fleet) -> None:
    """`yes` fills neither disk, memory nor Redis (P13)."""
    handle = crew.client.run("echo first; timeout 3 yes; echo last", max_output_bytes=100_000)
    result = handle.result(timeout=30)
    assert result.stdout.startswith(b"first\ny\n")
    assert result.stdout.endswith(b"y\nlast\n")
    assert len(result.stdout) <= 100_000
    assert result.stdout_bytes > 1_000_000
    with pytest.raises(OutputTruncated):
        handle.get()


def test_map_keeps_the_order_and_both_machines_work(crew: Fleet) -> None:
    """Forty half-second jobs over six slots: about seven rounds."""
    started = time.monotonic()
    handles = crew.client.map([f"sleep 0.5; echo {i}" for i in range(40)])
    results = [handle.result(timeout=60) for handle in handles]
    took = time.monotonic() - started
    assert [result.stdout for result in results] == [b"%d\n" % i for i in range(40)]
    assert {result.worker for result in results} == {"mac-mini", "rpi4-worker"}
    assert took < math.ceil(40 / 6) * 0.5 * 1.6


def test_as_completed_gives_them_as_they_end(crew: Fleet) -> None:
    """The quick one first."""
    slow, quick = crew.client.run("sleep 1; echo slow"), crew.client.run("echo quick")
    assert [h.get() for h in crew.client.as_completed([slow, quick], timeout=20)] == ["quick\n", "slow\n"]


def test_many_handles_share_one_watcher(crew: Fleet) -> None:
    """Threads that wait do not read past each other."""
    handles = crew.client.map([f"sleep 0.{i % 3}; echo {i}" for i in range(30)])
    got: dict[int, str] = {}

    def fetch(i: int) -> None:
        got[i] = handles[i].get(timeout=30)

    threads = [threading.Thread(target=fetch, args=(i,)) for i in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert got == {i: f"{i}\n" for i in range(30)}


def test_routing_by_name_and_label(crew: Fleet) -> None:
    """The right machine, four ways."""
    client = crew.client
    handles = {
        "mac-mini": [
            client.run_on_mac("true"),
            client.run("true", worker="mac-mini"),
            client.run("true", needs="heavy"),
        ],
        "rpi4-worker": [client.run_on_rpi("true"), client.run_on("rpi4-worker", "true")],
    }
    for name, group in handles.items():
        assert {handle.result(timeout=10).worker for handle in group} == {name}


def test_a_requirement_nobody_meets_is_refused_at_once(crew: Fleet) -> None:
    """Unless the job is told to wait for it."""
    with pytest.raises(NoSuchWorker, match="mac-mini, rpi4-worker"):
        crew.client.run_on("macmini", "true")
    with pytest.raises(NoSuchWorker, match="cuda"):
        crew.client.run("true", needs=["cuda"])
    handle = crew.client.run("true", needs=["cuda"], queue_anyway=True)
    with pytest.raises(ResultTimeout):
        handle.get(timeout=0.2)
    assert "no worker that has cuda" in handle.explain().sentence
    handle.cancel()


def test_priority_goes_first(crew: Fleet) -> None:
    """Among those that wait."""
    blockers = [crew.client.run_on("mac-mini", "sleep 1.5") for _ in range(2)]
    low = crew.client.run_on("mac-mini", "true", priority=-5)
    high = crew.client.run_on("mac-mini", "true", priority=5)
    assert (high.result(timeout=20).started_at or 0) <= (low.result(timeout=20).started_at or 0)
    assert all(blocker.result(timeout=20).state is State.SUCCEEDED for blocker in blockers)


def test_a_handle_comes_back_by_its_id(crew: Fleet) -> None:
    """From any process: a new client here."""
    from relayq.client import Client

    handle = crew.client.run("echo again")
    other = Client(crew.client.settings)
    assert other.get(handle.id[:8]).get(timeout=10) == "again\n"
    assert other.get("last").id == handle.id
    retried = other.retry(handle.id)
    assert retried.get(timeout=10) == "again\n"
    assert retried.job().retry_of == handle.id


def test_a_signal_that_is_not_ours_is_in_the_record(crew: Fleet) -> None:
    """Ended from outside is not exit code 0."""
    result = crew.client.run("kill -SEGV $$").result(timeout=10)
    assert (result.signal, result.exit_code, result.state) == (signal.SIGSEGV, None, State.FAILED)
