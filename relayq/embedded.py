"""A broker of our own on this machine, without root: started, found again and stopped; Redis does the rest."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from relayq import embedded_folder as files
from relayq import embedded_wire, processes
from relayq.embedded_folder import Configuration, Folder, folder_of
from relayq.embedded_server import Server, can_read, find_server, servers
from relayq.errors import BrokerUnavailable, ConfigError

__all__ = ["Broker", "Server", "find_server", "running", "start", "stop"]

START_PATIENCE = 10.0  #: seconds until it must answer
# Below what Linux and macOS hand out for outgoing connections: nobody else is likely to be given it by chance.
_PORTS = range(20000, 30000)
_PORT_TRIES = 5
_LOOK_EVERY = 0.01  #: seconds
_TAKEN = "Address already in use"


@dataclass(frozen=True, kw_only=True)
class Broker:
    """A broker of our own that runs."""

    url: str  #: with the password
    pid: int
    port: int
    server: Server
    log: Path
    started: bool  #: by the call that returned this; False: it ran already


@dataclass(frozen=True, kw_only=True)
class _Record:
    """Which process it is, as state.json holds it."""

    pid: int
    token: str
    port: int
    server: Server

    @property
    def alive(self) -> bool:
        return processes.alive(self.pid, self.token)


def start(home: Path, *, port: int | None = None, server: Server | None = None) -> Broker:
    """The broker of this RELAYQ_HOME, started if it does not run (if it does, `port` and `server` do not matter).

    Without `port` it is the last one, or another if somebody else has taken that. Returns once it answers. Raises
    ConfigError if there is no program or no folder for it or `port` is taken, and BrokerUnavailable with the end of
    its log if it does not serve within 10 s.
    """
    folder = folder_of(home)
    try:
        files.make(folder)
    except OSError as error:
        raise files.unusable(folder, error) from error
    with files.locked(folder):
        record = _recorded(folder) or _unrecorded(folder)
        if record:
            _await_serving(folder, record)
            return _announced(folder, record, started=False)
        folder.url.unlink(missing_ok=True)
        record = _start(folder, port, _fit_server(folder, server))
        return _announced(folder, record, started=True)


def running(home: Path) -> Broker | None:
    """The broker of this RELAYQ_HOME if its process is there; whether it answers is not asked."""
    folder = folder_of(home)
    try:
        record = _recorded(folder)
        return _broker(folder, record, started=False) if record else None
    except OSError as error:
        raise files.unusable(folder, error) from error


def stop(home: Path, timeout: float = 10.0) -> bool:
    """Stop the broker of this RELAYQ_HOME; its data stay. True if one was running.

    TERM makes it write what it has; after `timeout` seconds it is killed, which may cost the last second.
    """
    folder = folder_of(home)
    if not folder.root.is_dir():
        return False
    with files.locked(folder):
        record = _recorded(folder) or _unrecorded(folder)
        folder.url.unlink(missing_ok=True)
        if record:
            processes.end(record.pid, record.token, timeout)
        folder.state.unlink(missing_ok=True)
        return record is not None


def _start(folder: Folder, port: int | None, server: Server) -> _Record:
    last, password, _ = files.remembered(folder.conf)
    password = password or files.new_password()
    files.shorten(folder.log)
    for chosen in _ports(port, last):
        files.write(folder.conf, Configuration(port=chosen, password=password, server=server).text())
        logged = folder.log.stat().st_size if folder.log.exists() else 0
        record = _spawn(folder, server, chosen)
        try:
            _await_serving(folder, record)
        except BrokerUnavailable:
            if port is None and not record.alive and _TAKEN in files.tail(folder.log, logged):
                continue
            raise
        files.write(folder.writer, f"{server.name} {server.version}\n")
        return record
    raise BrokerUnavailable(
        f"no free port between {_PORTS.start} and {_PORTS.stop}: name one with: relayq up --port PORT"
    )


def _spawn(folder: Folder, server: Server, port: int) -> _Record:
    # The server works in data/: it needs no path in its configuration, and the home may be called anything.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RELAYQ_")}
    argv = [server.path, folder.conf]
    spawned = processes.spawn_detached(argv, folder.log, environment, folder.data, umask=0o077)
    record = _Record(pid=spawned.pid, token=spawned.token, port=port, server=server)
    _save(folder, record)
    return record


def _await_serving(folder: Folder, record: _Record) -> None:
    _, password, _ = files.remembered(folder.conf)
    deadline = time.monotonic() + START_PATIENCE
    while (answer := _ping(record.port, password)) != "+PONG":
        log = f"{folder.log} ends:\n{_hidden(files.tail(folder.log), password)}"
        if not record.alive:
            folder.state.unlink(missing_ok=True)
            raise BrokerUnavailable(f"the broker ended while starting. {log}")
        if time.monotonic() >= deadline:
            # Ending it here would make the next try begin anew: with much data it would never come up.
            if answer.startswith("-LOADING"):
                raise BrokerUnavailable("the broker is still reading its data and goes on: try again in a while")
            said = f"it says {answer[1:]!r}" if answer else "it does not answer"
            where = f"process {record.pid}, port {record.port}"
            raise BrokerUnavailable(f"the broker ({where}) does not serve: {said}. End it with: relayq down. {log}")
        time.sleep(_LOOK_EVERY)


def _announced(folder: Folder, record: _Record, *, started: bool) -> Broker:
    broker = _broker(folder, record, started=started)
    if files.read(folder.url) != f"{broker.url}\n":
        files.write(folder.url, f"{broker.url}\n")
    return broker


def _broker(folder: Folder, record: _Record, *, started: bool) -> Broker:
    _, password, _ = files.remembered(folder.conf)
    url = f"redis://:{password or ''}@127.0.0.1:{record.port}/0"
    return Broker(url=url, pid=record.pid, port=record.port, server=record.server, log=folder.log, started=started)


def _recorded(folder: Folder) -> _Record | None:
    """The running process that state.json names, if it is still the same one and serves this very folder."""
    try:
        state = json.loads(files.read(folder.state) or "{}")
        server = Server(path=Path(state["path"]), name=state["name"], version=state["version"])
        record = _Record(pid=int(state["pid"]), token=state["token"], port=int(state["port"]), server=server)
        ours = state["data"] == _place(folder.data)
    except (ValueError, KeyError, TypeError):
        return None
    return record if ours and record.alive else None


def _unrecorded(folder: Folder) -> _Record | None:
    """A broker that serves our folder though state.json was lost: two on the same data would destroy them."""
    port, password, server = files.remembered(folder.conf)
    if not (port and password and server) or _free(port):
        return None
    with suppress(OSError, ValueError):
        told = dict(re.findall(r"^(process_id|config_file):(.+?)\r?$", embedded_wire.ask(port, password, "INFO"), re.M))
        pid = int(told["process_id"]) if told.get("config_file") == str(folder.conf) else 0
        token = processes.identify(pid)
        if token:
            record = _Record(pid=pid, token=token, port=port, server=server)
            _save(folder, record)
            return record
    return None


def _save(folder: Folder, record: _Record) -> None:
    server = record.server
    state = {"pid": record.pid, "token": record.token, "port": record.port, "data": _place(folder.data)}
    state |= {"path": str(server.path), "name": server.name, "version": server.version}
    files.write(folder.state, json.dumps(state) + "\n")


def _place(data: Path) -> list[int]:
    """What tells this folder from a copy of it, but not from itself when the home was moved."""
    if not data.exists():
        return []
    seen = data.stat()
    return [seen.st_dev, seen.st_ino]


def _fit_server(folder: Folder, wanted: Server | None) -> Server:
    """The wanted program, or the first that can read what is in data/."""
    first = wanted or find_server()
    name, _, version = files.read(folder.writer).strip().partition(" ")
    for server in [first] if wanted or not version else servers():
        if not version or can_read(server, name, version):
            return server
    raise ConfigError(
        f"{folder.data} was written by {name} {version}, which {first.path} ({first.name} {first.version}) "
        f"cannot read. Install {name}-server {version} or newer, or begin anew by moving {folder.root} away"
    )


def _ports(wanted: int | None, last: int | None) -> Iterator[int]:
    if wanted is not None:
        if not _free(wanted):
            raise ConfigError(f"port {wanted} is not free: name another, or none to have one chosen")
        yield wanted
        return
    if last and _free(last):
        yield last
    for _ in range(_PORT_TRIES):
        chosen = next((port for port in (secrets.choice(_PORTS) for _ in range(100)) if _free(port)), None)
        if chosen:
            yield chosen


def _free(port: int) -> bool:
    with socket.socket() as probe:
        # As the server does; else the port of one that has just ended would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
        return True


def _ping(port: int, password: str | None) -> str:
    try:
        return embedded_wire.ask(port, password, "PING")
    except (OSError, ValueError):
        return ""


def _hidden(log: str, password: str | None) -> str:
    return log.replace(password, "***") if password else log
