"""Finds the supervisor of a RELAYQ_HOME, or starts one; who talks to it then is not its business."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import relayq
from relayq.supervisor import lock, paths, wire
from relayq.supervisor.messages import SupervisorUnavailable

_LEAVING = 1.0  #: seconds between a supervisor's last answer and the end of its process
_PROBE_PATIENCE = 2.0  #: seconds; a supervisor that syncs a slow disk may need one
# Everything that could identify the place travels in the environment: process listings are searched for
# "celery.*relayq" to find workers, and a folder may be named anything.
_BOOT = (
    "import os,sys;sys.path.append(os.environ['RELAYQ_SUPERVISOR_ROOT']);"
    "from relayq.supervisor import serve;sys.exit(serve.from_environment())"
)


def ensure(home: Path, *, timeout: float = 5.0, log: Path | None = None) -> str:
    """The socket of a living supervisor of this relayq version, started if there is none.

    `log` is the file for its messages (default: HOME/supervisor/supervisor.log). Raises
    SupervisorUnavailable.
    """
    return ensure_version(home, relayq.__version__, timeout=timeout, log=log)


def ensure_version(
    home: Path, version: str, *, timeout: float = 5.0, log: Path | None = None, linger: float | None = None
) -> str:
    """As `ensure`, for a given version's name; `linger` is how long it stays without work and clients."""
    places = paths.Paths(os.fspath(home), version)
    give_up_at = time.monotonic() + timeout
    if (found := _answering(places)) is not None:
        return found
    try:
        paths.make_private(places.root)
        starting = lock.acquire(str(Path(places.root) / "start.lock"), timeout)
    except OSError as error:
        raise SupervisorUnavailable(f"the folder {places.root} cannot be used: {error.strerror or error}") from error
    if starting is None:
        raise SupervisorUnavailable(f"another process has been starting a supervisor in {home} for {timeout:g} s")
    try:
        process = None
        while True:
            if (found := _answering(places)) is not None:
                return found
            if process is None:
                process = _start(home, version, log, linger)
            if time.monotonic() >= give_up_at:
                raise SupervisorUnavailable(
                    f"no supervisor answered in {home} within {timeout:g} s. See: {log or places.log}"
                )
            time.sleep(0.01)
    finally:
        os.close(starting)
        if process is not None:
            _collect(process)


def others(home: Path) -> list[str]:
    """The sockets of living supervisors of other versions, which still have jobs or outcomes.

    Raises SupervisorUnavailable if one lives and does not answer (its disk may be slow): its jobs are not lost.
    """
    give_up_at = time.monotonic() + _LEAVING
    while True:
        found = dict(_living(home))
        silent = [
            version
            for version in paths.versions(os.fspath(home))
            if version not in found and version != relayq.__version__ and _lives(paths.Paths(os.fspath(home), version))
        ]
        if not silent:
            return [path for version, path in found.items() if version != relayq.__version__]
        if time.monotonic() >= give_up_at:
            raise SupervisorUnavailable(f"the supervisor of relayq {silent[0]} in {home} does not answer")
        time.sleep(0.02)  # it may just be leaving


def living(home: Path) -> list[str]:
    """The sockets of all living supervisors of this home; starts none."""
    return [path for _, path in _living(home)]


def _living(home: Path) -> list[tuple[str, str]]:
    found = []
    for version in paths.versions(os.fspath(home)):
        socket_path = _answering(paths.Paths(os.fspath(home), version), any_version=True)
        if socket_path is not None:
            found.append((version, socket_path))
    return found


def _lives(places: paths.Paths) -> bool:
    if not Path(places.lock).exists():
        return False
    try:
        held = lock.acquire(places.lock)
    except OSError:
        return False
    if held is not None:
        os.close(held)
    return held is None


def _start(home: Path, version: str, log: Path | None, linger: float | None) -> subprocess.Popen[bytes]:
    # Nothing of the worker's environment: it may hold the broker's password, and jobs get theirs anyway.
    env = {name: os.environ[name] for name in ("HOME", "PATH", "LANG", "TZ", "TMPDIR") if name in os.environ}
    env["RELAYQ_SUPERVISOR_ROOT"] = str(Path(__file__).resolve().parent.parent.parent)
    env["RELAYQ_SUPERVISOR_HOME"] = str(Path(home).absolute())
    env["RELAYQ_SUPERVISOR_VERSION"] = version
    if log is not None:
        env["RELAYQ_SUPERVISOR_LOG"] = str(Path(log).absolute())
    if linger is not None:
        env["RELAYQ_SUPERVISOR_LINGER"] = str(linger)
    # The interpreter behind the virtual environment: it needs nothing but its standard library.
    program = getattr(sys, "_base_executable", None) or sys.executable
    try:
        return subprocess.Popen(
            [program, "-I", "-S", "-X", "utf8", "-c", _BOOT],
            env=env,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise SupervisorUnavailable(f"no supervisor can be started: {error}") from error


def _collect(process: subprocess.Popen[bytes]) -> None:
    # It forks and leaves at once; if it still waits for a lock, it must not become a zombie of ours.
    try:
        process.wait(0.5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answering(places: paths.Paths, *, any_version: bool = False) -> str | None:
    for path in places.sockets():
        try:
            paths.check_private(places.folder)  # its table and lock are there, wherever the socket is
            paths.check_private(str(Path(path).parent))
        except PermissionError as error:
            raise SupervisorUnavailable(str(error)) from error
        except OSError:
            continue
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(_PROBE_PATIENCE)
            try:
                sock.connect(path)
                sock.sendall(wire.frame({"op": "hello", "protocol": wire.PROTOCOL, "version": places.version}))
                reader = wire.Reader()
                while (answer := reader.frame()) is None:
                    data = sock.recv(65536)
                    if not data:
                        break
                    reader.feed(data)
            except (OSError, wire.BadFrame):
                continue
            if answer is not None and (any_version or answer[0].get("version") == places.version):
                return path
    return None
