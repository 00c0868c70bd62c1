"""The command `relayq` as it is typed: real processes, a real broker; its workers real, or doing what the test says."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from relayq import embedded
from relayq.model import Bell, Chunk, Held, Job, Outcome, Reason, State, WorkerInfo
from relayq.store.redis import RedisStore
from tests.conftest import free_port, wait_until

from .conftest import Fleet

RELAYQ = [sys.executable, "-m", "relayq"]


class Shell:
    """A machine's command line."""

    def __init__(self, home: Path, url: str | None) -> None:
        home.mkdir(exist_ok=True)
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("RELAYQ_")}
        self.env |= {"RELAYQ_HOME": str(home), "RELAYQ_SUBMIT_PATIENCE": "1s"}
        if url:
            self.env["RELAYQ_BROKER_URL"] = url

    def __call__(self, *args: str, **options: Any) -> subprocess.CompletedProcess[str]:
        given = {"capture_output": True, "text": True, "timeout": 60, "stdin": subprocess.DEVNULL}
        if "input" in options:
            del given["stdin"]
        return subprocess.run([*RELAYQ, *args], env=self.env, check=False, **{**given, **options})

    def json(self, *args: str) -> Any:
        """What it prints with --json."""
        return json.loads(self(*args, "--json").stdout)

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        """A command that goes on."""
        return subprocess.Popen([*RELAYQ, *args], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


class Actor(threading.Thread):
    """A worker without processes: every job says "started" and runs until it is cancelled, or `let_end` is called."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.store = RedisStore(url, lease_floor=3.0)
        self.info = WorkerInfo(name="actor", identity="id", incarnation="i", slots=1)
        self.jobs: list[Job] = []
        self._over = threading.Event()
        self._outcome: Outcome | None = None

    def __enter__(self) -> Actor:
        self.store.register(self.info, Bell(queue="relayq.ring.q", ring="r", channel="/0.c", nudge="n"))
        self.store.serve("actor", ["any"], all=True)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()
        self.store.close()

    def let_end(self, outcome: Outcome) -> None:
        """The running job ends."""
        self._outcome = outcome

    def run(self) -> None:
        held = None
        while not self._over.wait(0.02):
            cancelled = self.store.pulse("actor", "i", [held] if held else []).cancelled
            if held is None:
                claim = self.store.claim("actor", "i", os.urandom(4).hex())
                if claim is not None:
                    held = claim.held
                    self.jobs.append(claim.job)
                    self.store.append(held, [Chunk(stream=1, offset=0, data=b"started\n")])
            elif cancelled or self._outcome:
                outcome = self._outcome or Outcome(reason=Reason.CANCELLED, signal=15, stdout_bytes=8)
                self.store.finish("actor", "i", held, outcome)
                held = self._outcome = None


@pytest.fixture
def shell(redis_url: str, tmp_path: Path) -> Shell:
    """A command line at an empty broker."""
    return Shell(tmp_path / "home", redis_url)


@pytest.fixture
def actor(redis_url: str) -> Iterator[Actor]:
    """The only worker."""
    with Actor(redis_url) as actor:
        yield actor


# ── signals ──


def test_ctrl_c_cancels_the_job_and_waits_for_its_end(shell: Shell, actor: Actor) -> None:
    """Exit code 130, and the store knows that it was cancelled."""
    running = shell.start("run", "--", "sleep 60")
    assert running.stdout is not None
    assert running.stdout.readline() == b"started\n"
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=20)
    assert running.returncode == 130
    assert b"press Ctrl-C again to leave it" in stderr
    assert b"was cancelled" in stderr
    [job] = actor.store.get([actor.jobs[0].id])
    assert job is not None
    assert job.state is State.CANCELLED


def test_a_second_ctrl_c_leaves_at_once(shell: Shell, redis_url: str) -> None:
    """Even if the job's worker never hears of it."""
    with Actor(redis_url) as actor:
        running = shell.start("run", "--", "sleep 60")
        wait_until(lambda: actor.jobs)
    # The worker has gone: nobody will end the job.
    running.send_signal(signal.SIGINT)
    assert running.stderr is not None
    assert b"cancelling" in running.stderr.readline()
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=5)
    assert (running.returncode, b"Traceback" in stderr) == (130, False)


def test_ctrl_c_leaves_a_followed_job_alone(shell: Shell, actor: Actor) -> None:
    """`logs -f` only looks."""
    id = shell("submit", "--", "sleep 60").stdout.strip()
    following = shell.start("logs", "-f", id)
    assert following.stdout is not None
    assert following.stdout.readline() == b"started\n"
    following.send_signal(signal.SIGINT)
    _, stderr = following.communicate(timeout=5)
    assert (following.returncode, b"Traceback" in stderr) == (130, False)
    [job] = actor.store.get([id])
    assert job is not None
    assert (job.state, job.cancel_requested_at) == (State.RUNNING, None)


def test_when_nobody_reads_the_job_is_cancelled_quietly(shell: Shell, actor: Actor) -> None:
    """`relayq run -- yes | head -1` ends, as `yes | head -1` does: 141 is 128 + SIGPIPE."""
    running = shell.start("run", "--", "yes")
    assert running.stdout is not None
    running.stdout.close()
    assert running.wait(20) == 141
    assert running.stderr is not None
    assert running.stderr.read() == b""
    wait_until(lambda: actor.store.counts()[State.CANCELLED] == 1)


@pytest.mark.parametrize("args", [["config", "show"], ["list", "--json"], ["--help"]], ids=lambda args: args[0])
def test_a_closed_pipe_is_quiet_for_every_verb(shell: Shell, args: list[str]) -> None:
    """No traceback, no "Exception ignored"."""
    reading, writing = os.pipe()
    os.close(reading)
    done = shell(*args, capture_output=False, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


# ── brokers that are away, or no brokers ──

LOOKING = [["list"], ["show", "x"], ["logs", "x"], ["cancel", "x"], ["explain", "x"], ["status"], ["workers"]]


@pytest.mark.parametrize("args", LOOKING, ids=lambda args: args[0])
def test_a_broker_that_refuses_connections_is_4(tmp_path: Path, args: list[str]) -> None:
    """At once."""
    done = Shell(tmp_path / "home", f"redis://127.0.0.1:{free_port()}/0")(*args)
    assert done.returncode == 4
    assert done.stderr.startswith("relayq: the broker at 127.0.0.1")
    assert "Traceback" not in done.stderr


def test_a_broker_that_never_answers_is_4_within_five_seconds(tmp_path: Path) -> None:
    """A socket that accepts and says nothing: the worst case of a link that is silently dead."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        shell = Shell(tmp_path / "home", f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        started = time.monotonic()
        done = shell("status")
        assert done.returncode == 4
        assert time.monotonic() - started < 5


def test_a_submission_says_that_it_tries_again_and_gives_up(tmp_path: Path) -> None:
    """After `submit_patience`; `run` keeps 0 to 254 for the job."""
    shell = Shell(tmp_path / "home", f"redis://127.0.0.1:{free_port()}/0")
    done = shell("submit", "--", "true")
    assert (done.returncode, done.stdout) == (4, "")
    assert "Trying again for 1 s" in done.stderr
    assert shell("run", "--", "true").returncode == 255


def test_a_wrong_password_is_5_at_once(tmp_path: Path, redis_url: str) -> None:
    """Trying again does not help; and the password is not shown."""
    shell = Shell(tmp_path / "home", redis_url.replace("redis://:", "redis://:wrong"))
    for args, code in ((["list"], 5), (["submit", "--", "true"], 5), (["run", "--", "true"], 255)):
        done = shell(*args)
        assert done.returncode == code
        assert "refuses the password" in done.stderr
        assert "wrong" not in done.stderr


def test_another_schema_is_refused_in_a_sentence(shell: Shell, redis_url: str) -> None:
    """A store of another major version is not touched."""
    import redis

    with redis.Redis.from_url(redis_url) as client:
        client.set("relayq:schema", "99")
    done = shell("list")
    assert done.returncode == 5
    assert "schema 99" in done.stderr


def test_a_job_is_followed_over_an_outage_of_the_broker(tmp_path: Path) -> None:
    """`run` waits, says so once, and goes on where it was."""
    home = tmp_path / "b"
    home.mkdir()
    broker = embedded.start(home)
    try:
        shell = Shell(tmp_path / "home", broker.url)
        with Actor(broker.url) as first:
            running = shell.start("run", "--", "sleep 60")
            assert running.stdout is not None
            assert running.stdout.readline() == b"started\n"
            held = first.store.page(limit=1)[0]
        embedded.stop(home)
        assert running.stderr is not None
        assert b"Still waiting" in running.stderr.readline()
        embedded.start(home)
        store = RedisStore(broker.url, lease_floor=3.0)
        attempt = held.attempts[-1]
        outcome = Outcome(reason=Reason.EXITED, exit_code=6, stdout_bytes=13)
        last = Chunk(stream=1, offset=8, data=b"done\n")
        assert store.finish(
            "actor", "i", Held(job=held.id, number=attempt.number, nonce=attempt.nonce), outcome, [last]
        ).heard
        stdout, stderr = running.communicate(timeout=20)
        store.close()
        assert (running.returncode, stdout, stderr) == (6, b"done\n", b"")
    finally:
        embedded.stop(home)


# ── with real workers ──


def test_exit_codes_of_real_jobs(crew: Fleet, tmp_path: Path) -> None:
    """The table of the help, for real."""
    shell = Shell(tmp_path / "home", crew.url)
    for args, code in (
        (["--", "exit 7"], 7),
        (["--", "true"], 0),
        (["--", "sh", "-c", "kill -9 $$"], 137),
        (["--timeout", "500ms", "--", "sleep 9"], 124),
        (["--cwd", "/no/such", "--", "true"], 125),
        (["--", "/no/such", "program"], 125),
        (["--queue-anyway", "--needs", "cuda", "--queue-timeout", "1s", "--", "true"], 125),
        (["--needs", "cuda", "--", "true"], 255),
    ):
        assert shell("run", *args).returncode == code, args


def test_run_passes_bytes_through(crew: Fleet, tmp_path: Path) -> None:
    """Every byte in both directions, streams apart."""
    shell = Shell(tmp_path / "home", crew.url)
    data = bytes(range(256)) * 1000
    done = shell("run", "--stdin", "-", "--", "tee /dev/stderr", input=data, text=False)
    assert done.returncode == 0
    assert done.stdout == data
    assert done.stderr == data


def test_output_that_is_not_kept_is_said_to_be_missing(crew: Fleet, tmp_path: Path) -> None:
    """By every verb that shows it, with what is kept of how much."""
    shell = Shell(tmp_path / "home", crew.url)
    record = json.loads(shell("run", "--json", "--max-output", "20", "--", "seq 100").stdout)
    assert (record["stdout_bytes"], record["stdout_kept"], record["truncated"]) == (292, 20, True)
    assert len(record["stdout"]) == 20
    assert "292 bytes stdout, 20 kept" in shell("show", record["id"]).stdout
    shown = shell.json("show", record["id"])
    assert (shown["stdout_kept"], shown["truncated"]) == (20, True)
    done = shell("run", "--max-output", "0", "--", "seq 100")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "relayq: 292 bytes of stdout were not kept (see --max-output)\n"


def test_the_last_lines_of_a_running_job_and_all_that_follow(crew: Fleet, tmp_path: Path) -> None:
    """As `tail -f`; the first attempt's output can still be had when the second has begun."""
    shell = Shell(tmp_path / "home", crew.url)
    go = tmp_path / "go"
    script = f"seq 100; [ $RELAYQ_ATTEMPT = 1 ] && exit 7; until [ -e {go} ]; do sleep 0.05; done; echo end"
    id = shell("submit", "--retries", "1", "--retry-delay", "0", "--", script).stdout.strip()
    wait_until(lambda: len(shell("logs", id, "--attempt", "2").stdout.split()) == 100, 20, crew.logs)
    assert shell("logs", id, "--tail", "2").stdout == "99\n100\n"
    assert shell("logs", id, "--attempt", "1", "--tail", "1").stdout == "100\n"
    following = shell.start("logs", "-f", id, "--tail", "1")
    assert following.stdout is not None
    assert following.stdout.readline() == b"100\n"
    go.touch()
    stdout, stderr = following.communicate(timeout=20)
    assert (following.returncode, stdout, stderr) == (0, b"end\n", b"")


def test_the_output_of_every_attempt_is_shown(crew: Fleet, tmp_path: Path) -> None:
    """Also of one that was over before anybody looked."""
    shell = Shell(tmp_path / "home", crew.url)
    for _ in range(3):
        done = shell("run", "--retries", "1", "--retry-delay", "0", "--", "echo try $RELAYQ_ATTEMPT; exit 3")
        assert (done.returncode, done.stdout) == (3, "try 1\ntry 2\n")


def test_a_home_that_is_no_text_is_a_sentence(tmp_path: Path) -> None:
    """Paths are bytes; one that is no UTF-8 is refused before anything is made there."""
    shell = Shell(tmp_path / "home", None)
    shell.env["RELAYQ_HOME"] = f"{tmp_path}/\udcff"
    for args in (["list"], ["up"], ["down"], ["worker"], ["config", "show"]):
        done = shell(*args)
        assert (done.returncode, done.stdout) == (2, ""), args
        assert done.stderr.startswith("relayq: RELAYQ_HOME is ")
        assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("*ff"))


def test_map_waits_for_all(crew: Fleet, tmp_path: Path) -> None:
    """Lines in, ends out."""
    shell = Shell(tmp_path / "home", crew.url)
    done = shell("map", "--wait", "--on", "rpi4-worker", "--", "exit {}", "0", "3", "0")
    assert done.returncode == 1
    assert sorted(line.split()[2] for line in done.stdout.splitlines()) == ["0", "0", "3"]


def test_up_and_down(tmp_path: Path) -> None:
    """A machine without anything: up, a job, down; what ran and what waited run after the next up."""
    shell = Shell(tmp_path / "h", None)
    try:
        first = shell.json("up")
        assert (first["started"], shell.json("up")["started"]) == (True, False)
        assert oct((tmp_path / "h" / "up.json").stat().st_mode)[-3:] == "600"
        assert shell("run", "--", "echo hello").stdout == "hello\n"
        id = shell(
            "submit", "--", f"test -e {tmp_path}/again && exit 9; touch {tmp_path}/again; sleep 60"
        ).stdout.strip()
        wait_until((tmp_path / "again").exists)
        assert _signed_in(shell.json("dashboard")["url"], first["server"]["url"]) == {"read_only": False}
        down = shell.json("down")
        assert down == {"worker": first["worker"]["name"], "broker": True, "server": True, "ended_jobs": 1}
        assert shell("status").returncode == 5
        assert shell("up").returncode == 0
        assert shell("wait", id).returncode == 9
        assert shell.json("show", id)["losses"] == 0
    finally:
        done = shell("down")
    assert done.returncode == 0
    assert done.stderr == f"relayq: stopped the worker {first['worker']['name']}, the server, the broker\n"
    assert "nothing was up" in shell("down").stderr


def _signed_in(link: str, server: str) -> dict[str, Any]:
    """What the server of a link says of the session."""
    assert link.startswith(f"{server}/login?code=")
    with httpx.Client() as client:
        assert client.get(link).status_code == 200
        said = client.get(f"{server}/api/v1/session").json()
    return {"read_only": said["read_only"]}


def test_up_without_the_servers_packages_says_how_to_get_them(tmp_path: Path) -> None:
    """Everything else goes on."""
    shell = Shell(tmp_path / "h", None)
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'fastapi' else find(name, package)\n"
    )
    shell.env["PYTHONPATH"] = str(tmp_path)
    try:
        done = shell("up")
        assert done.returncode == 0
        assert "pip install 'relayq[server]'" in done.stderr
        assert shell.json("up")["server"] is None
        alone = shell("server")
        assert (alone.returncode, alone.stderr.count("\n")) == (2, 1)
        assert "pip install 'relayq[server]'" in alone.stderr
    finally:
        shell("down")


def test_up_shows_why_a_worker_does_not_start(tmp_path: Path) -> None:
    """The end of its log, and exit code 1."""
    shell = Shell(tmp_path / "h", None)
    (tmp_path / "h" / "identity").mkdir()
    try:
        done = shell("up")
        assert done.returncode == 1
        assert "ended while starting" in done.stderr
        assert "worker.log ends:" in done.stderr
    finally:
        shell("down")
