"""`relayq doctor` beside real workers, on Redis servers that are well, badly set up, open, silent or away."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from relayq import broker
from relayq.store import health
from relayq.store.acl import NOBODY
from relayq.store.acl import line as acl_line
from tests.conftest import as_admin, free_port, redis_binary, wait_until

from .conftest import Fleet

BOUND = 10.0  #: seconds it may take at most
ASKED_OF_OTHERS = ("The way to the broker", "Broker", "Worker")  #: groups that do not depend on what runs here besides


@contextlib.contextmanager
def serving(folder: Path, *lines: str) -> Iterator[int]:
    """A Redis told this; its port."""
    port = free_port()
    config = folder / "redis.conf"
    config.write_text("\n".join([f"port {port}", f'dir "{folder}"', 'save ""', *lines]) + "\n")
    process = subprocess.Popen([redis_binary(), str(config)], stdout=subprocess.DEVNULL)

    def answers() -> bool:
        assert process.poll() is None, "redis-server ended"
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(answers)
        yield port
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def good_redis(tmp_path: Path) -> Iterator[str]:
    """One as relayq sets it up, and its URL for a machine that joined."""
    folder = tmp_path / "redis"
    folder.mkdir()
    users = folder / "users.acl"
    sha = hashlib.sha256(b"secret").hexdigest()
    users.write_text("\n".join([NOBODY, acl_line("admin", "admin", sha), acl_line("worker-w", "worker", sha), ""]))
    settings = ("bind 127.0.0.1", "appendonly yes", "maxmemory 512mb", "maxmemory-policy noeviction")
    with serving(folder, *settings, f'aclfile "{users}"') as port:
        yield f"redis://worker-w:secret@127.0.0.1:{port}/0"


class Said:
    """What one call found."""

    def __init__(self, done: subprocess.CompletedProcess[str], seconds: float) -> None:
        self.code = done.returncode
        self.seconds = seconds
        assert done.stdout, done.stderr
        self.found: list[dict[str, Any]] = json.loads(done.stdout)["findings"]

    def __getitem__(self, check: str) -> dict[str, Any]:
        [finding] = [finding for finding in self.found if finding["check"] == check]
        return finding

    def problems(self) -> list[str]:
        """The checks that found one, but for those of this very system."""
        return [f["check"] for f in self.found if f["level"] == "problem" and f["group"] in ASKED_OF_OTHERS]


Doctor = Callable[..., Said]


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    """`relayq doctor --json` with this broker, in this home."""

    def ask(url: str, home: Path | None = None, *args: str) -> Said:
        env = {k: v for k, v in os.environ.items() if not k.startswith("RELAYQ_")}
        env |= {"RELAYQ_BROKER_URL": url, "RELAYQ_HOME": str(home or tmp_path / "none"), "RELAYQ_WORKER_NAME": "w"}
        began = time.monotonic()
        argv = [sys.executable, "-m", "relayq", "doctor", "--json", *args]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
        return Said(done, time.monotonic() - began)

    return ask


@pytest.fixture
def good_fleet(good_redis: str, tmp_path: Path) -> Iterator[Fleet]:
    """A real worker, w, on it."""
    fleet = Fleet(good_redis, tmp_path)
    fleet.start()
    yield fleet
    for worker in fleet.workers.values():
        worker.end()
    fleet.client.store.close()


def test_a_machine_that_is_well_has_no_problem(good_fleet: Fleet, doctor: Doctor) -> None:
    """Its worker hears a ring, its supervisor lives, and Redis is as relayq sets it up."""
    said = doctor(good_fleet.url, good_fleet.workers["w"].home)
    assert said.problems() == [], said.found
    for check in ("broker", "clock", "redis version", "persistence", "eviction policy", "memory", "password",
                  "access rights", "worker", "ring", "supervisor", "versions"):  # fmt: skip
        assert said[check]["level"] == "ok", said[check]
    assert "and no more" in said["access rights"]["sentence"]
    assert "w heard one" in said["ring"]["sentence"]
    assert said.seconds < BOUND


def test_the_doctors_ring_disturbs_no_job(good_fleet: Fleet, doctor: Doctor) -> None:
    """A ring too many is looked into and forgotten; none is left behind."""
    home = good_fleet.workers["w"].home
    job = good_fleet.client.run("sleep 1; echo done")
    assert doctor(good_fleet.url, home)["ring"]["level"] == "ok"
    assert job.get(timeout=10) == "done\n"
    assert len(job.job().attempts) == 1
    ears = health.ears(good_fleet.url, "w")
    assert ears is not None
    assert ears.waiting == 0


def test_a_deaf_worker_is_told(good_fleet: Fleet, doctor: Doctor) -> None:
    """Celery no longer asks for its rings; the one of the doctor is taken back."""
    app = broker.make_app(good_fleet.url)
    wait_until(lambda: app.control.cancel_consumer(broker.ring_queue("w"), reply=True, timeout=2.0))
    app.close()
    # One question of Celery's may still be under way, and hear.
    wait_until(lambda: (ears := health.ears(good_fleet.url, "w", patience=1.0)) and ears.heard_after is None)
    said = doctor(good_fleet.url, good_fleet.workers["w"].home)
    assert said.problems() == ["ring"]
    assert "does not hear" in said["ring"]["sentence"]
    assert said.code == 1


def test_a_worker_that_is_gone_is_told(good_fleet: Fleet, doctor: Doctor) -> None:
    """The machine knows that it has one, and the broker that it is silent."""
    worker = good_fleet.workers["w"]
    worker.end()
    wait_until(lambda: not good_fleet.client.worker_status()["workers"]["w"]["online"], 30)
    said = doctor(good_fleet.url, worker.home)
    assert said.problems() == ["worker"]
    assert said["worker"]["mend"] == "relayq worker"


def test_a_redis_that_forgets_is_a_problem(tmp_path: Path, doctor: Doctor) -> None:
    """Anybody's Redis, as it comes: it evicts, and keeps nothing over a restart."""
    lines = ("bind 127.0.0.1", "requirepass secret", "appendonly no", "maxmemory 64mb", "maxmemory-policy allkeys-lru")
    with serving(tmp_path, *lines) as port:
        said = doctor(f"redis://:secret@127.0.0.1:{port}/0")
    assert said.problems() == ["persistence", "eviction policy"]
    assert said["eviction policy"]["mend"] == (
        f"redis-cli -h 127.0.0.1 -p {port} CONFIG SET maxmemory-policy noeviction"
    )
    assert said["password"]["level"] == "ok"
    assert said.code == 1


def test_an_open_redis_is_a_problem(tmp_path: Path, doctor: Doctor) -> None:
    """As 1.x had it; also if we give a password that it does not ask for."""
    with serving(tmp_path, "bind 127.0.0.1", "appendonly yes", "protected-mode no") as port:
        said = doctor(f"redis://127.0.0.1:{port}/0")
    assert said.problems() == ["password"]


def test_an_open_default_user_beside_ours_is_a_problem(tmp_path: Path, doctor: Doctor) -> None:
    """Our own user has a password; who gives none is let in all the same."""
    users = tmp_path / "users.acl"
    sha = hashlib.sha256(b"secret").hexdigest()
    users.write_text(f"user default on nopass ~* &* +@all\n{acl_line('worker-w', 'worker', sha)}\n")
    with serving(tmp_path, "bind 127.0.0.1", "appendonly yes", f'aclfile "{users}"') as port:
        assert doctor(f"redis://worker-w:secret@127.0.0.1:{port}/0").problems() == ["password"]


def test_a_user_with_too_few_rights_is_told(tmp_path: Path, doctor: Doctor) -> None:
    """Found by trying, not by reading rules."""
    users = tmp_path / "users.acl"
    sha = hashlib.sha256(b"secret").hexdigest()
    users.write_text(f"user default off\nuser w on #{sha} ~relayq:* &* +@read +@connection +info +time\n")
    with serving(tmp_path, "bind 127.0.0.1", "appendonly yes", f'aclfile "{users}"') as port:
        said = doctor(f"redis://w:secret@127.0.0.1:{port}/0")
    assert "access rights" in said.problems()
    assert 'the user "w" may not write' in said["access rights"]["sentence"]


def test_a_broker_that_is_away_is_one_problem(good_fleet: Fleet, doctor: Doctor) -> None:
    """Refused at once; all that could be asked of it is left out."""
    home = good_fleet.workers["w"].home
    said = doctor(f"redis://:x@127.0.0.1:{free_port()}/0", home)
    assert said.problems() == ["broker"]
    assert {f["check"] for f in said.found if f["group"] == "Broker"} == set()
    assert said.code == 1
    assert said.seconds < BOUND


def test_a_broker_that_is_silent_is_one_problem_and_no_hang(tmp_path: Path, doctor: Doctor) -> None:
    """It takes the connection and never answers, as behind a dead link."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        said = doctor(f"redis://:x@127.0.0.1:{silent.getsockname()[1]}/0")
    assert said.problems() == ["broker"]
    assert said.seconds < BOUND


def test_a_wrong_password_is_told_as_that(good_redis: str, doctor: Doctor) -> None:
    """Not as a broker that is away."""
    said = doctor(good_redis.replace("secret", "wrong"))
    assert said.problems() == ["broker"]
    assert "refuses the password" in said["broker"]["sentence"]


def test_a_broker_of_ones_own_is_well(tmp_path: Path, doctor: Doctor) -> None:
    """What `relayq up` starts has nothing for the doctor to say."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("RELAYQ_")} | {"RELAYQ_HOME": str(tmp_path / "h")}
    relayq = [sys.executable, "-m", "relayq"]
    subprocess.run([*relayq, "up"], env=env, capture_output=True, check=True, timeout=60)
    try:
        done = subprocess.run([*relayq, "doctor", "--json"], env=env, capture_output=True, text=True, check=False)
        said = Said(done, 0.0)
        assert said.problems() == [], said.found
        assert [f["sentence"] for f in said.found if f["level"] == "warning" and f["group"] in ASKED_OF_OTHERS] == []
    finally:
        subprocess.run([*relayq, "down"], env=env, capture_output=True, check=True, timeout=60)


def test_what_a_user_may_do_is_found_by_doing_it(redis_url: str) -> None:
    """A machine that joined, and the administrator, who alone is told where Redis listens."""
    joined, admin = health.look(redis_url), health.look(as_admin(redis_url))
    assert joined.rights == health.Rights(write=True, script=True, configure=False, tokens=False)
    assert admin.rights == health.Rights(write=True, script=True, configure=True, tokens=True)
    assert joined.binding is None
    assert health.binding(redis_url) is None
    assert health.binding(as_admin(redis_url)) == admin.binding
    assert admin.binding is not None
    assert admin.binding.addresses == ("127.0.0.1",)


def test_the_facts_are_redis_own(redis_url: str) -> None:
    """The server of the tests keeps nothing on disk, and is on this machine's clock."""
    seen = health.look(redis_url)
    assert (seen.append_only, seen.eviction, seen.needs_password, seen.refused_write) == (
        False,
        "noeviction",
        True,
        None,
    )
    assert seen.number >= (6, 2)
    assert 0 < seen.round_trip < 1
    assert abs(seen.clock_ahead) < 1
    assert seen.used_bytes > 1 << 19
    assert health.ears(redis_url, "nobody") is None


def test_a_full_redis_says_so_in_its_own_words(tmp_path: Path) -> None:
    """It may be asked, and takes no writes."""
    with serving(tmp_path, "bind 127.0.0.1", "requirepass secret", "maxmemory 100kb") as port:
        seen = health.look(f"redis://:secret@127.0.0.1:{port}/0")
    assert "maxmemory" in (seen.refused_write or "")
    assert seen.rights.write
