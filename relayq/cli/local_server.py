"""The server that `relayq up` starts beside its broker: for this machine only, started again when it dies."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from relayq import embedded_folder, minder, processes
from relayq.config import Settings
from relayq.errors import ConfigError

START_PATIENCE = 15.0  #: seconds until it must answer
STOP_PATIENCE = 10.0
_LOOK_EVERY = 0.05
_PORTS = 50  #: tried from the configured one on
#: The port is configured if one of these says so; else any free one will do.
_USUAL = Settings.__dataclass_fields__["server_port"].default


@dataclass(frozen=True, kw_only=True)
class LocalServer:
    """One that runs, as server.json holds it."""

    pid: int
    token: str
    port: int

    @property
    def alive(self) -> bool:
        """Whether it (or who starts it again) runs."""
        return processes.alive(self.pid, self.token)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"


def missing() -> str | None:
    """Why no server can be started here; None if one can."""
    if find_spec("fastapi") and find_spec("uvicorn") and find_spec("prometheus_client"):
        return None
    return f"the server and its dashboard need more packages: {sys.executable} -m pip install 'relayq[server]'"


def running(home: Path) -> LocalServer | None:
    """The one that `up` started in this RELAYQ_HOME."""
    try:
        said = json.loads(embedded_folder.read(_file(home)) or "null")
        found = LocalServer(pid=int(said["pid"]), token=said["token"], port=int(said["port"]))
    except (ValueError, KeyError, TypeError):
        return None
    return found if found.alive else None


def start(settings: Settings, home: Path) -> LocalServer:
    """Start it; see `await_answer`. Raises ConfigError if no port is free."""
    port = _port(settings)
    argv = [sys.executable, "-m", "relayq", "server", "--address", "127.0.0.1", "--port", str(port)]
    minded, added = minder.command(argv)
    log = log_file(home)
    spawned = processes.spawn_detached(minded, log, os.environ | added | {"RELAYQ_HOME": str(home)})
    server = LocalServer(pid=spawned.pid, token=spawned.token, port=port)
    text = json.dumps({"pid": server.pid, "token": server.token, "port": port})
    embedded_folder.write(_file(home), f"{text}\n")
    return server


def await_answer(server: LocalServer, home: Path) -> str | None:
    """Until it answers; else why not, with the end of its log."""
    from relayq.cli.server_at import answers

    deadline = time.monotonic() + START_PATIENCE
    while not answers(server.url):
        if not server.alive or time.monotonic() >= deadline:
            return f"the server does not answer on port {server.port}. {log_file(home)} ends:\n" + embedded_folder.tail(
                log_file(home)
            )
        time.sleep(_LOOK_EVERY)
    return None


def stop(home: Path) -> bool:
    """End it; whether it ran."""
    server = running(home)
    if server is not None:
        processes.end(server.pid, server.token, STOP_PATIENCE)
    _file(home).unlink(missing_ok=True)
    return server is not None


def log_file(home: Path) -> Path:
    """What it says."""
    return home / "server.log"


def _file(home: Path) -> Path:
    return home / "server.json"


def _port(settings: Settings) -> int:
    wanted = settings.server_port
    tried = range(wanted, wanted + (_PORTS if wanted == _USUAL else 1))
    for port in tried:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ConfigError(f"no port is free for the server ({tried[0]} to {tried[-1]}): name another with server.port")
