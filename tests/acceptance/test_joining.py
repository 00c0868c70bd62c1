"""A machine joins: with a token or a code; it has its own user, which can be taken away (issue: enrolment)."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis

from relayq.errors import BrokerRefused, NameTaken, SetupError
from relayq.model import JobSpec
from relayq.setup import joining
from relayq.setup.joining import Joined
from relayq.store import NewJob, acl
from relayq.store.admin import Admin
from relayq.store.enrolment import Enrolment, Machine
from relayq.store.redis import RedisStore
from tests.conftest import free_port, redis_binary, wait_until


class Hub:
    """The broker's machine: a Redis with an ACL file, as the installer makes it, and the server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "vm"
        (self.home / "wheels").mkdir(parents=True)
        self.port, self.server_port = free_port(), free_port()
        self.password, self.submitter = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        self.admin_url = f"redis://admin:{self.password}@127.0.0.1:{self.port}/0"
        self.url = f"redis://submitter:{self.submitter}@127.0.0.1:{self.port}/0"
        self.server_url = f"http://127.0.0.1:{self.server_port}"
        (folder / "users.acl").write_text(
            acl.file_text(*(hashlib.sha256(p.encode()).hexdigest() for p in (self.password, self.submitter)))
        )
        (folder / "redis.conf").write_text(
            f'bind 127.0.0.1\nport {self.port}\ndir "{folder}"\naclfile "{folder}/users.acl"\nappendonly yes\n'
        )
        self.start_broker()
        self.log = (folder / "server.log").open("w")
        self.server = subprocess.Popen(
            [sys.executable, "-m", "relayq", "server", "--address", "127.0.0.1"],
            env=self.environment,
            stderr=self.log,
        )
        wait_until(lambda: joining.is_server(self.server_url), 15, (folder / "server.log").read_text)

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "RELAYQ_HOME": str(self.home),
            "RELAYQ_BROKER_URL": self.url,
            "RELAYQ_ADMIN_URL": self.admin_url,
            "RELAYQ_SERVER_URL": self.server_url,
            "RELAYQ_SERVER_PORT": str(self.server_port),
        }

    def start_broker(self) -> None:
        self.broker = subprocess.Popen([redis_binary(), str(self.folder / "redis.conf")], stdout=subprocess.DEVNULL)

        def answers() -> bool:
            assert self.broker.poll() is None, "redis-server ended"
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", self.port)) == 0

        wait_until(answers)

    def restart_broker(self) -> None:
        self.broker.kill()
        self.broker.wait()
        self.start_broker()

    def relayq(self, *args: str, code: int = 0) -> Any:
        argv = [sys.executable, "-m", "relayq", *args, "--json"]
        done = subprocess.run(argv, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if done.stdout else done.stderr

    def token(self, *args: str) -> str:
        return str(self.relayq("token", "new", *args)["token"])

    def join(self, token: str, identity: str = "id-rpi", **options: Any) -> Joined:
        return joining.join(self.server_url, token=token, identity=identity, **{"name": "rpi", **options})

    def close(self) -> None:
        for process in (self.server, self.broker):
            process.terminate()
            process.wait(10)
        self.log.close()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A broker's machine of its own."""
    hub = Hub(tmp_path)
    yield hub
    hub.close()


def usable(url: str) -> bool:
    with closing(RedisStore(url)) as store:
        try:
            store.counts()
        except BrokerRefused:
            return False
        return True


def test_a_token_lets_one_machine_in_with_a_user_of_its_own(hub: Hub) -> None:
    """Once: who finds it afterwards in a history of commands has nothing."""
    token = hub.token("--label", "garage")
    joined = hub.join(token, labels=["light"])
    assert (joined.name, joined.labels) == ("rpi", ("garage", "light"))
    assert joined.broker_url.startswith("redis://worker-rpi:")
    assert usable(joined.broker_url)
    with pytest.raises(SetupError, match="unknown, used up or too old"):
        hub.join(token, "id-other", name="other")
    assert hub.relayq("token", "list")["tokens"] == []
    assert [machine["name"] for machine in hub.relayq("token", "list")["machines"]] == ["rpi"]


def test_a_token_may_be_for_several_machines_and_never_one_too_many(hub: Hub) -> None:
    """All at once, too."""
    token = hub.token("--uses", "3")

    def join(number: int) -> str | None:
        try:
            return hub.join(token, f"id-{number}", name=f"n{number}").name
        except SetupError:
            return None

    with ThreadPoolExecutor(8) as pool:
        names = [name for name in pool.map(join, range(8)) if name]
    assert len(names) == 3


def test_a_token_grows_old(hub: Hub) -> None:
    """An hour is enough to paste a line."""
    token = hub.token("--ttl", "1s")
    wait_until(lambda: not hub.relayq("token", "list")["tokens"])
    with pytest.raises(SetupError, match="too old"):
        hub.join(token)


def test_a_token_for_a_name_lets_in_no_other(hub: Hub) -> None:
    """And is not used up by the attempt."""
    token = hub.token("--name", "mac-mini")
    with pytest.raises(SetupError, match="for a machine called mac-mini"):
        hub.join(token, name="rpi")
    assert hub.join(token, name=None).name == "mac-mini"


def test_the_broker_keeps_no_secret(hub: Hub) -> None:
    """Neither the token nor a password: only what they hash to."""
    token = hub.token("--uses", "2")
    joined = hub.join(token)
    password = joined.broker_url.split(":")[2].split("@")[0]
    with redis.Redis.from_url(hub.admin_url) as admin:
        kept = b"".join(b"%s %s" % (key, admin.dump(key) or b"") for key in admin.scan_iter("*"))
        kept += repr(admin.acl_list()).encode()
    for secret in (token, password):
        assert secret.encode() not in kept
        assert secret not in (hub.folder / "users.acl").read_text()
        assert secret not in (hub.folder / "server.log").read_text()


def test_a_machine_may_work_and_nothing_else(hub: Hub) -> None:
    """It can neither administer the broker nor make tokens nor read other programs' keys."""
    joined = hub.join(hub.token())
    with redis.Redis.from_url(joined.broker_url) as client:
        for command in (
            ("CONFIG", "GET", "*"),
            ("FLUSHALL",),
            ("KEYS", "*"),
            ("SHUTDOWN",),
            ("ACL", "LIST"),
            ("CLIENT", "LIST"),
            ("MONITOR",),
            ("SET", "others", "1"),
            ("HSET", "relayq-admin:token:x", "uses", "9"),
            ("HGETALL", "relayq-admin:machine:rpi"),
            ("PSUBSCRIBE", "*"),
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command)
    with pytest.raises(redis.exceptions.AuthenticationError), redis.Redis(port=hub.port) as nobody:
        nobody.ping()


def test_rejoining_keeps_the_name_and_makes_a_new_password(hub: Hub) -> None:
    """A machine that lost its configuration, not its identity."""
    first, second = hub.join(hub.token()), hub.join(hub.token())
    assert first.name == second.name
    assert not usable(first.broker_url)
    assert usable(second.broker_url)


def test_another_machine_with_a_taken_name_is_refused(hub: Hub) -> None:
    """And its token is not used up."""
    hub.join(hub.token())
    token = hub.token()
    with pytest.raises(SetupError, match=r"another machine has joined as rpi.*relayq worker remove rpi"):
        hub.join(token, "id-other")
    assert hub.join(token, "id-other", name="rpi2").name == "rpi2"


def test_what_was_written_outlives_the_broker(hub: Hub) -> None:
    """Also what scripts and transactions wrote, which some Redis replay with the default user's rights only."""
    hub.token()
    with closing(RedisStore(hub.url)) as store:
        spec = JobSpec(command="true")
        store.submit([NewJob(id="a", spec=spec, lane="any", anyway=True)])
    hub.broker.terminate()
    hub.broker.wait()
    hub.start_broker()
    with closing(RedisStore(hub.url)) as store:
        assert store.get(["a"])[0] is not None
    assert len(hub.relayq("token", "list")["tokens"]) == 1


def test_users_outlive_the_broker(hub: Hub) -> None:
    """A restart of Redis must not lock everybody out."""
    joined = hub.join(hub.token())
    hub.restart_broker()
    assert usable(joined.broker_url)


def test_removing_a_worker_takes_its_access_away_at_once(hub: Hub) -> None:
    """Its connections end; it may join again with a new token."""
    joined = hub.join(hub.token())
    with redis.Redis.from_url(joined.broker_url) as client:
        client.ping()
        assert hub.relayq("worker", "remove", "rpi") == {"removed": "rpi"}
        with pytest.raises(redis.exceptions.ConnectionError):
            client.ping()
    assert not usable(joined.broker_url)
    assert usable(hub.join(hub.token(), "id-new").broker_url)
    assert 'no worker is called "nobody"' in hub.relayq("worker", "remove", "nobody", code=5)


def test_a_machine_without_a_token_shows_a_code_and_is_let_in(hub: Hub) -> None:
    """By whoever sits at the broker."""
    shown: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(
            joining.ask, hub.server_url, identity="id-rpi", name="rpi", labels=["light"], show=shown.append
        )
        wait_until(lambda: shown)
        assert "no machine shows the code" in hub.relayq("token", "approve", "AAAAAA", code=5)
        [asking] = hub.relayq("token", "list")["asking"]
        assert (asking["code"], asking["name"], asking["address"]) == (shown[0], "rpi", "127.0.0.1")
        assert hub.relayq("token", "approve", shown[0].lower(), "--label", "attic") == {"approved": "rpi"}
        joined = asked.result(20)
    assert (joined.name, joined.labels) == ("rpi", ("attic",))
    assert usable(joined.broker_url)
    assert "no machine shows the code" in hub.relayq("token", "approve", shown[0], code=5)


def test_a_name_that_a_machine_has_without_having_joined_is_taken_too(hub: Hub) -> None:
    """The direct form, with the broker's URL in config.yml, still works beside it."""
    from relayq.model import Bell, WorkerInfo

    with closing(RedisStore(hub.url)) as store:
        info = WorkerInfo(name="old", identity="id-old", incarnation="i", slots=1)
        store.register(info, Bell(queue="relayq.ring.old", ring="r", channel="/0.c", nudge="n"))
    with closing(Admin(hub.admin_url)) as admin:
        enrolment = Enrolment(admin)
        with pytest.raises(NameTaken):
            enrolment.admit(Machine(name="old", identity="id-new", address=""), "0" * 64)
        assert enrolment.admit(Machine(name="old", identity="id-old", address=""), "0" * 64) == "worker-old"


def test_the_server_hands_out_its_own_wheel_and_a_script_that_knows_where_it_came_from(hub: Hub) -> None:
    """So that a machine installs exactly the broker's version."""
    wheel = hub.home / "wheels" / "relayq-2.0.0-py3-none-any.whl"
    wheel.write_bytes(b"zip")
    version = json.loads(get(f"{hub.server_url}/version"))
    assert (version["wheel"], version["sha256"]) == (wheel.name, hashlib.sha256(b"zip").hexdigest())
    assert get(f"{hub.server_url}/wheel/{wheel.name}") == b"zip"
    for url in ("/wheel/other.whl", "/wheel/..%2f..%2fetc%2fpasswd"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(f"{hub.server_url}{url}")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "JSON object"),
        (b"[]", "JSON object"),
        (b"{}", "token is missing"),
        (b'{"token": 3}', "token is missing"),
        (b'{"token": "x"}', "unknown"),
        (b" " * 70_000, "too much"),
    ],
)
def test_nonsense_is_answered_with_a_sentence(hub: Hub, body: bytes, words: str) -> None:
    """And does not end the server."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(f"{hub.server_url}/api/join", body))
    assert words in json.load(caught.value)["error"]
    assert joining.is_server(hub.server_url)


def test_a_broker_that_is_away_is_said(hub: Hub) -> None:
    """The machine that joins cannot know why nothing happens."""
    token = hub.token()
    hub.broker.terminate()
    hub.broker.wait()
    with pytest.raises(SetupError, match="does not answer"):
        hub.join(token)
    hub.start_broker()
    assert hub.join(token).name == "rpi"


def test_no_server_is_a_sentence() -> None:
    """What to look at."""
    with pytest.raises(SetupError, match="tailscale status"):
        joining.join(f"http://127.0.0.1:{free_port()}", token="x", identity="y")


def get(url: str) -> bytes:
    with urllib.request.urlopen(url) as response:
        return bytes(response.read())
