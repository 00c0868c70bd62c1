"""Rings, nudges and 1.x results between a real Redis and real Celery workers, through every way they can fail."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis

from relayq import broker
from relayq.errors import BrokerUnavailable, JobFailed, ResultTimeout
from relayq.model import Bell
from tests.conftest import free_port, redis_binary, wait_until

PASSWORD = "p@ss/:#w%rd"
DB = 3

# Celery itself writes results with a command that redis-py wants to be spelled otherwise.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex")

STAND_IN = '''
"""What relayq.tasks is to a worker, as small as can be: it writes down what it hears."""
import json, os, threading, time
from celery import signals
from celery.exceptions import Ignore
from celery.worker import state as inside
from celery.worker.control import control_command, inspect_command
from relayq import broker

app = broker.make_app(os.environ["URL"])
hold, let_go = os.environ["HOLD"], threading.Event()
diary = open(os.environ["DIARY"], "a", buffering=1)
known = {}

def note(what, **facts):
    diary.write(json.dumps({"what": what, "at": time.monotonic(), **facts}) + "\\n")

@signals.celeryd_init.connect
def configure(sender, conf, **_):
    known["name"] = broker.configure_worker(app, sender, conf, default="configured")

@signals.worker_ready.connect
def ready(sender, **_):
    bell = broker.bell_for(app, known["name"], sender.hostname)
    note("ready", name=known["name"], bell=[bell.queue, bell.ring, bell.channel, bell.nudge])

@signals.worker_shutting_down.connect
def stopping(sig, how, **_):
    note("stopping", sig=sig, how=how)
    if how == "Cold" or "STUBBORN" not in os.environ:
        let_go.set()

@app.task(name=broker.RING_TASK, ignore_result=True)
def ring():
    note("ring")
    while os.path.exists(hold) and not let_go.wait(0.002):
        pass
    note("free")

@app.task(name="relayq.run_command", bind=True)
def run_command(self, command, cwd=None, routing_key=None):
    note("old", id=self.request.id, command=command, cwd=cwd, routing_key=routing_key)
    raise Ignore

@control_command(name=broker.PULSE_COMMAND)
def pulse(state):
    note("nudge")

@inspect_command(name="held")
def held(state):
    qos = state.consumer.task_consumer.channel.qos
    return {"requests": len(inside.requests), "reserved": len(inside.reserved_requests),
            "active": len(inside.active_requests), "successful": len(inside.successful_requests),
            "delivered": len(qos._delivered), "heard": sum(inside.total_count.values())}
'''

OLD_CLIENT = """
import json, sys
from celery import Celery
url = sys.argv[1]
app = Celery("relayq", broker=url, backend=url)
app.conf.update(task_serializer="json", result_serializer="json", accept_content=["json"])
asked = app.send_task("relayq.run_command", args=["echo hi"], kwargs={"cwd": "/tmp", "routing_key": "rpi"})
print(asked.id, flush=True)
try:
    print(json.dumps(["value", asked.get(timeout=20)]))
except Exception as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""


class Server:
    """A Redis that can be killed, frozen and started again on its port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.config = folder / "redis.conf"
        self.config.write_text(
            f'bind 127.0.0.1\nport {self.port}\nsave ""\ndir "{folder}"\nunixsocket {folder}/r.sock\n'
            f'requirepass "{PASSWORD}"\n'
        )
        self.client = redis.Redis(port=self.port, password=PASSWORD, db=DB, socket_timeout=5)
        self.start()

    def url(self, port: int | None = None) -> str:
        return f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{port or self.port}/{DB}"

    def start(self) -> None:
        self.process = subprocess.Popen([redis_binary(), str(self.config)], stdout=subprocess.DEVNULL)
        wait_until(self._answers)

    def _answers(self) -> bool:
        with suppress(redis.ConnectionError):
            return bool(self.client.ping())
        return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def calls(self) -> dict[str, int]:
        """How often each command was asked so far, this question apart."""
        stats = self.client.info("commandstats").items()
        return {k.removeprefix("cmdstat_"): v["calls"] for k, v in stats if k != "cmdstat_info"}

    def close(self) -> None:
        self.client.close()
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
        self.kill()


class Worker:
    """A Celery worker with two slots, and its diary."""

    def __init__(self, folder: Path, url: str, argv: list[str] | None = None, **env: str) -> None:
        folder.mkdir()
        (folder / "stand_in.py").write_text(STAND_IN)
        self.diary, self.hold, self.log = folder / "diary", folder / "hold", folder / "log"
        argv = argv or broker.worker_argv("mac-mini", 2)
        env = {**os.environ, "URL": url, "DIARY": str(self.diary), "HOLD": str(self.hold), **env}
        env["PYTHONPATH"] = str(Path(broker.__file__).parent.parent.parent)
        with self.log.open("w") as log:
            argv = ["stand_in" if a == "relayq.tasks" else a for a in argv]
            self.process = subprocess.Popen(argv, cwd=folder, env=env, stdout=log, stderr=log)

    def noted(self, what: str) -> list[dict[str, Any]]:
        lines = self.diary.read_text().splitlines() if self.diary.exists() else []
        return [note for note in map(json.loads, lines) if note["what"] == what]

    def wait(self, what: str, count: int = 1, timeout: float = 15) -> list[dict[str, Any]]:
        """The notes of this sort, as soon as there are `count`."""

        def enough() -> object:
            assert self.process.poll() is None or len(self.noted(what)) >= count, self.log.read_text()
            return len(self.noted(what)) >= count

        wait_until(enough, timeout, lambda: f"{self.diary.read_text()}\n{self.log.read_text()}")
        return self.noted(what)

    @property
    def bell(self) -> Bell:
        queue, ring, channel, nudge = self.wait("ready")[0]["bell"]
        return Bell(queue=queue, ring=ring, channel=channel, nudge=nudge)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.close()


@pytest.fixture
def start(tmp_path: Path, server: Server) -> Iterator[Callable[..., Worker]]:
    """Starts workers that listen when it returns."""
    made: list[Worker] = []

    def worker(url: str | None = None, **options: Any) -> Worker:
        made.append(Worker(tmp_path / f"worker{len(made)}", url or server.url(), **options))
        made[-1].wait("ready")
        return made[-1]

    yield worker
    for one in made:
        one.stop()


@pytest.fixture
def worker(start: Callable[..., Worker]) -> Worker:
    return start()


def ring(server: Server, worker: Worker, times: int = 1) -> None:
    server.client.lpush(worker.bell.queue, *[worker.bell.ring] * times)


def busy(server: Server, worker: Worker) -> None:
    """Both slots are in a task that returns when told to stop, or when `hold` is gone."""
    worker.hold.touch()
    before = len(worker.noted("ring"))
    ring(server, worker, 2)
    worker.wait("ring", before + 2)


def held(server: Server) -> dict[str, int]:
    app = broker.make_app(server.url())
    with app.connection_for_write() as connection:
        answers = app.control.broadcast("held", reply=True, timeout=5, limit=1, connection=connection)
    return dict(next(iter(answers[0].values())))


# Hearing


def test_rings_and_nudges_pushed_as_strings_are_heard_at_once(server: Server, worker: Worker) -> None:
    """What `bell_for` renders is what this worker listens to: list, channel, database, task and command."""
    bell, delays = worker.bell, []
    for n in range(1, 41):
        at = time.monotonic()
        server.client.lpush(bell.queue, bell.ring)
        delays.append(worker.wait("ring", n)[-1]["at"] - at)
    assert statistics.median(delays) < 0.05, delays
    assert bell.queue == broker.ring_queue("mac-mini")
    assert bell.channel == f"/{DB}.celery.pidbox"
    assert server.client.publish(bell.channel, bell.nudge) == 1
    worker.wait("nudge")


def test_the_same_ring_may_come_twice_at_once_and_thousands_of_times(server: Server, worker: Worker) -> None:
    """Rings share one id: Celery must run two at once, and must not keep anything for each."""
    busy(server, worker)
    assert held(server)["active"] == 2
    worker.hold.unlink()
    ring(server, worker, 2000)
    wait_until(lambda: held(server)["heard"] == 2002, 30, lambda: held(server))
    wait_until(lambda: held(server)["active"] == 0)
    kept = held(server)
    assert kept["requests"] == kept["reserved"] == 0
    assert kept["successful"] <= 1
    assert kept["delivered"] <= 2


def test_a_waiting_ring_is_heard_as_soon_as_a_slot_is_free(server: Server, worker: Worker) -> None:
    """Celery alone looks again only when its loop turns, up to a second later; and none is taken too early."""
    gaps = []
    for _ in range(5):
        seen = len(worker.noted("ring"))
        busy(server, worker)
        ring(server, worker, 2)
        server.client.ping()
        assert server.client.llen(worker.bell.queue) == 2
        freed = len(worker.noted("free"))
        worker.hold.unlink()
        first_free = worker.wait("free", freed + 1)[freed]["at"]
        gaps.append(worker.wait("ring", seen + 4)[seen + 2]["at"] - first_free)
        worker.wait("free", freed + 4)
    assert statistics.median(gaps) < 0.05, gaps


def test_a_nudge_is_heard_with_all_slots_busy_and_only_by_the_one_it_is_for(
    server: Server, start: Callable[..., Worker]
) -> None:
    """Cancelling concerns running jobs, so it cannot wait for a free slot."""
    worker, other = start(), start(argv=broker.worker_argv("rpi4", 2))
    busy(server, worker)
    assert server.client.publish(worker.bell.channel, worker.bell.nudge) == 2
    worker.wait("nudge")
    server.client.publish(other.bell.channel, other.bell.nudge)
    other.wait("nudge")
    assert len(worker.noted("nudge")) == len(other.noted("nudge")) == 1


@pytest.mark.slow
def test_a_worker_started_the_1x_way_behaves_the_same_and_idles_quietly(
    server: Server, start: Callable[..., Worker]
) -> None:
    """Without our options on the command line too: own queue, no gossip, less than a request a second."""
    celery = str(Path(sys.executable).with_name("celery"))
    worker = start(argv=[celery, "-A", "relayq.tasks", "worker", "--concurrency=2", "--hostname=mac-mini@%h"])
    ring(server, worker)
    worker.wait("ring")
    wait_until(lambda: server.calls().get("brpop", 0) >= 3)
    before, at = server.calls(), time.monotonic()
    wait_until(lambda: server.calls()["brpop"] >= before["brpop"] + 2, 15)
    new = {k: v - before.get(k, 0) for k, v in server.calls().items() if v > before.get(k, 0)}
    assert sum(new.values()) / (time.monotonic() - at) < 1, new
    assert set(new) <= {"brpop", "ping"}
    assert [p for p in server.client.pubsub_channels() if b"celeryev" in p] == []


def test_a_worker_without_a_name_gets_the_configured_one(server: Server, start: Callable[..., Worker]) -> None:
    """`celery -A relayq.tasks worker` says `celery@host`: that is nobody's name."""
    worker = start(argv=[sys.executable, "-m", "celery", "-A", "relayq.tasks", "worker", "-c2"])
    assert worker.bell.queue == "relayq.ring.configured"
    ring(server, worker)
    worker.wait("ring")


def test_a_worker_listens_over_a_unix_socket(server: Server, start: Callable[..., Worker]) -> None:
    """The URL is redis-py's; Celery's dialect is another."""
    url = f"unix://:{quote(PASSWORD, safe='')}@{server.config.parent}/r.sock?db={DB}"
    worker = start(url)
    ring(server, worker)
    worker.wait("ring")
    server.client.publish(worker.bell.channel, worker.bell.nudge)
    worker.wait("nudge")
    broker.store_result(broker.make_app(url), "over-unix", value=1)
    assert server.client.exists("celery-task-meta-over-unix")


# Stopping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_busy_worker_exits_within_five_seconds(server: Server, worker: Worker, number: int) -> None:
    """The slots are told and let go; QUIT, which breaks Celery's threads pool, is a stop like any other."""
    busy(server, worker)
    worker.process.send_signal(number)
    assert worker.process.wait(5) == 0
    assert [n["how"] for n in worker.noted("stopping")] == ["Warm"]
    assert len(worker.noted("free")) == 2
    assert "Traceback" not in worker.log.read_text()


def test_only_a_second_interrupt_is_cold(server: Server, start: Callable[..., Worker]) -> None:
    """Ctrl-C twice ends the jobs too; a service manager's repeated TERM must not."""
    worker = start(STUBBORN="1")
    busy(server, worker)
    worker.process.send_signal(signal.SIGINT)
    worker.wait("stopping")
    worker.process.send_signal(signal.SIGTERM)
    worker.process.send_signal(signal.SIGINT)
    worker.wait("stopping", 2)
    assert worker.process.wait(5) == 0
    assert [n["how"] for n in worker.noted("stopping")] == ["Warm", "Cold"]
    assert len(worker.noted("free")) == 2


def test_a_slot_that_does_not_let_go_holds_nobody_up(server: Server, start: Callable[..., Worker]) -> None:
    """The end is bounded even if a slot is stuck."""
    worker = start(STUBBORN="1")
    busy(server, worker)
    worker.process.terminate()
    assert worker.process.wait(5) == 0
    assert "leaving now" in worker.log.read_text()


@pytest.mark.parametrize("how", ["killed", "silent"])
def test_a_worker_stops_in_time_without_its_broker(server: Server, worker: Worker, how: str) -> None:
    """A broker that refuses, or does not answer at all, must not keep a machine from shutting down."""
    busy(server, worker)
    if how == "killed":
        server.kill()
        wait_until(lambda: "Connection to broker lost" in worker.log.read_text())
    else:
        server.process.send_signal(signal.SIGSTOP)
    worker.process.terminate()
    assert worker.process.wait(5) == 0
    assert len(worker.noted("free")) == 2


# Losing the broker


def test_rings_are_heard_within_five_seconds_of_the_brokers_return(server: Server, worker: Worker) -> None:
    """Also after an outage so long that Celery's own steps would have grown; a busy slot works on."""
    worker.hold.touch()
    ring(server, worker)
    worker.wait("ring")
    server.kill()
    wait_until(lambda: "Cannot connect" in worker.log.read_text())
    at = time.monotonic()
    wait_until(lambda: time.monotonic() > at + 7)  # Celery would next try after 2, 4, 6, 8 … seconds
    server.start()
    ring(server, worker)
    worker.wait("ring", 2, timeout=5)
    server.client.publish(worker.bell.channel, worker.bell.nudge)
    worker.wait("nudge")
    assert len(worker.noted("free")) == 0
    assert worker.log.read_text().count("Cannot connect") <= 2


class Link:
    """A TCP relay to the broker that can fall silent: what it carries then is lost, and nobody is told."""

    def __init__(self, port: int) -> None:
        self.target, self.silent = port, threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.ends: list[socket.socket] = [self.listener]
        self.cut: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.target))
                self.ends += [near, far]
                for one, two in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(one, two), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self.silent.is_set() or source in self.cut:
                    self.cut |= {source, target}  # this connection never comes back
                else:
                    target.sendall(data)

    def fall_silent(self) -> None:
        self.silent.set()
        self.cut |= set(self.ends)

    def close(self) -> None:
        for one in self.ends:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.mark.slow
def test_a_silently_dead_link_is_noticed_and_replaced(server: Server, start: Callable[..., Worker]) -> None:
    """With Celery's defaults such a worker stays deaf for ever."""
    link = Link(server.port)
    try:
        worker = start(server.url(link.port))
        busy(server, worker)
        worker.hold.unlink()
        worker.wait("free", 2)
        link.fall_silent()
        at = time.monotonic()
        wait_until(lambda: time.monotonic() > at + 5)
        link.silent.clear()

        def heard_again() -> bool:
            if not server.client.llen(worker.bell.queue):  # the dead BRPOP swallowed it: rings may be lost
                ring(server, worker)
            return len(worker.noted("ring")) > 2

        def nudged_again() -> bool:
            server.client.publish(worker.bell.channel, worker.bell.nudge)
            return bool(worker.noted("nudge"))

        wait_until(heard_again, 10, worker.log.read_text)
        wait_until(nudged_again, 20, worker.log.read_text)
    finally:
        link.close()


# Clients of 1.x


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ({"value": "hi\n"}, ["value", "hi\n"]),
        ({"value": {"status": "success", "output": "b.mp4"}}, ["value", {"status": "success", "output": "b.mp4"}]),
        ({"error": ResultTimeout("took too long")}, ["TimeoutError", "took too long"]),
        ({"error": JobFailed("exit code 1: no such file", None)}, ["Exception", "exit code 1: no such file"]),
    ],
)
def test_a_1x_client_gets_what_is_stored_for_it(
    server: Server, worker: Worker, outcome: dict[str, Any], expected: list[Any]
) -> None:
    """Its task reaches the worker, whose answer does not count as the result; that comes from elsewhere."""
    client = subprocess.Popen([sys.executable, "-c", OLD_CLIENT, server.url()], stdout=subprocess.PIPE, text=True)
    with client:
        assert client.stdout is not None
        task_id = client.stdout.readline().strip()
        heard = worker.wait("old")[0]
        assert heard.items() >= {"id": task_id, "command": "echo hi", "cwd": "/tmp", "routing_key": "rpi"}.items()
        wait_until(lambda: held(server)["active"] == 0)
        assert not server.client.exists(f"celery-task-meta-{task_id}")
        broker.store_result(broker.make_app(server.url()), task_id, **outcome)
        assert json.loads(client.stdout.readline()) == expected
    assert 86000 < server.client.ttl(f"celery-task-meta-{task_id}") <= 86400


def test_a_stored_success_stays(server: Server) -> None:
    """Storing is repeated after a lost answer, perhaps by somebody who believes that the job failed."""
    app = broker.make_app(server.url())
    broker.store_result(app, "one", value="first")
    broker.store_result(app, "one", error=ValueError("late"))
    assert app.AsyncResult("one").get(timeout=5) == "first"


@pytest.mark.parametrize("how", ["killed", "silent"])
def test_storing_without_a_broker_fails_soon(server: Server, how: str) -> None:
    """The caller keeps the result and tries again; it must not hang."""
    app = broker.make_app(server.url())
    broker.store_result(app, "before", value=1)
    if how == "killed":
        server.kill()
    else:
        server.process.send_signal(signal.SIGSTOP)
    at = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        broker.store_result(app, "after", value=1)
    assert time.monotonic() - at < 10


# Words


def test_the_command_line_is_found_by_its_old_pattern_and_tells_no_secret() -> None:
    """`pgrep -f "celery.*relayq"` is how people, and 1.x scripts, look for a worker."""
    argv = broker.worker_argv("mac-mini", 2, loglevel="DEBUG", logfile="/tmp/w.log")
    assert re.search("celery.*relayq", " ".join(argv))
    assert "--logfile=/tmp/w.log" in argv
    assert not any("://" in a for a in argv)
    assert not any(a.startswith("--logfile") for a in broker.worker_argv("a", 1))


@pytest.mark.parametrize(
    ("error", "name", "message"),
    [
        (FileNotFoundError(2, "No such file", "/x"), "FileNotFoundError", "[Errno 2] No such file: '/x'"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), "UnicodeError", "'utf-8' codec can't decode byte 0xff"),
        (KeyError("name"), "KeyError", "'name'"),
        (SystemExit("gone"), "RuntimeError", "gone"),
    ],
)
def test_an_error_becomes_one_that_every_python_knows(
    server: Server, error: BaseException, name: str, message: str
) -> None:
    """A 1.x client has none of our classes, and JSON carries no objects."""
    app = broker.make_app(server.url())
    broker.store_result(app, "failing", error=error)
    stored = app.AsyncResult("failing").result
    assert type(stored).__name__ == name
    assert str(stored).startswith(message)
