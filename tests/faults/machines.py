"""What a fleet is made of: a broker and nodes, real processes on hosts, each of which may be ill-treated."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import redis

import relayq
from relayq.embedded_server import find_server
from tests.conftest import wait_until

from . import processes
from .links import Host

ROOT = Path(relayq.__file__).parent.parent
#: Moves the clock of a program it is loaded into; None if it is not installed.
FAKETIME = next((p for p in Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


class Started:
    """A process that we started: it must not end unless we ended it."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.meant_to_run = False

    @property
    def pid(self) -> int:
        """Of the last one started."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it runs (or is stopped)."""
        return self._process is not None and self._process.poll() is None

    def _spawn(self, argv: list[str], env: dict[str, str], cwd: Path) -> None:
        assert not self.running, f"{self.name} runs already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.meant_to_run = True

    def signal(self, number: int) -> None:
        """A signal to this process alone; after KILL, TERM or INT it may be gone."""
        assert self._process is not None
        if number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            self.meant_to_run = False
        self._process.send_signal(number)

    def wait(self, timeout: float = 10.0) -> int:
        """Its exit code, when it has ended as it was told to."""
        assert self._process is not None
        return self._process.wait(timeout)

    def died(self) -> str | None:
        """What there is to say if it ended by itself."""
        if self.meant_to_run and not self.running:
            assert self._process is not None
            return f"{self.name} ended by itself with {self._process.returncode}"
        return None

    def tail(self, size: int = 4000) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-size:] if self.log.exists() else ""


class Broker(Started):
    """A Redis with a password that appends to its file every second, as a broker of ours does."""

    def __init__(self, host: Host, folder: Path, preload: dict[str, str] | None = None) -> None:
        super().__init__("broker", folder / "broker.log")
        self.host = host
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir(parents=True)
        self._preload = preload or {}
        # Debian's Redis brings an allocator that does not start under libfaketime.
        self._program = find_server("" if self._preload else None).path
        password = secrets.token_hex(8)
        self.url = f"redis://:{password}@{host.address}:{host.port}/0"
        (folder / "redis.conf").write_text(
            f"bind {host.address}\nport {host.port}\nrequirepass {password}\nprotected-mode no\n"
            f'dir "{self.data}"\nsave ""\nappendonly yes\nappendfsync everysec\nmaxmemory-policy noeviction\n'
            "hash-max-ziplist-value 2048\n"
        )

    def start(self) -> None:
        """On the same address, with the data there is. Returns when it answers."""
        argv = [*self.host.enter, str(self._program), str(self.folder / "redis.conf")]
        self._spawn(argv, {**os.environ, **self._preload}, self.folder)
        wait_until(self.answers, 30, self.tail)

    def answers(self) -> bool:
        """Whether it is there and has read its data."""
        with redis.Redis.from_url(self.url, socket_timeout=1, socket_connect_timeout=1) as client:
            try:
                return bool(client.ping())
            except (redis.ConnectionError, redis.TimeoutError):
                assert self.running, f"the broker ended: {self.tail()}"
                return False

    def stop(self) -> None:
        """As a service manager does; from now on its host refuses connections."""
        self.signal(signal.SIGTERM)
        self.wait()

    def kill(self) -> None:
        """kill -9; from now on its host refuses connections."""
        self.signal(signal.SIGKILL)
        self.wait()

    def copy(self) -> Path:
        """A copy of its files as they are now, as a backup makes it."""
        target = self.folder / f"copy-{secrets.token_hex(4)}"
        shutil.copytree(self.data, target)
        return target

    def put_back(self, copy: Path) -> None:
        """Replace the files of a stopped broker by a copy."""
        assert not self.running
        shutil.rmtree(self.data)
        shutil.copytree(copy, self.data)


class Node(Started):
    """A machine: a RELAYQ_HOME, its worker, and what the worker started."""

    def __init__(
        self, name: str, host: Host, home: Path, url: str, *, slots: int, labels: str, lease_floor: float,
        env: dict[str, str], log: Path,
    ) -> None:  # fmt: skip
        super().__init__(name, log)
        self.host = host
        self.home = home
        self._argv = [
            *host.enter,
            sys.executable,
            "-m",
            "relayq",
            "worker",
            "--no-restart",
            "--name",
            name,
            "--slots",
            str(slots),
        ]
        self._argv += ["--labels", labels] if labels else []
        self._env = {
            # None of this machine's own settings: it may well be a node itself.
            **{k: v for k, v in os.environ.items() if not k.startswith("RELAYQ_")},
            # A worker does not start in this folder, and must be the relayq under test.
            "PYTHONPATH": str(ROOT),
            "RELAYQ_HOME": str(home),
            "RELAYQ_BROKER_URL": url,
            "RELAYQ_LEASE_FLOOR": str(lease_floor),
            **env,
        }
        home.mkdir(mode=0o700, exist_ok=True)

    def start(self) -> None:
        """Its worker, as a service manager starts it. Returns at once."""
        self._spawn(self._argv, self._env, Path("/"))

    def of_role(self, role: processes.Role) -> list[processes.Process]:
        """What runs here now."""
        return [p for p in processes.of_home(self.home) if p.role == role]

    def kill_worker(self, number: int = signal.SIGKILL) -> None:
        """End the worker alone."""
        self.signal(number)
        self.wait()

    def kill(self, role: processes.Role) -> None:
        """kill -9 of the supervisor, its keeper, or the jobs."""
        assert role != "worker", "use kill_worker"
        found = self.of_role(role)
        assert found, f"no {role} runs on {self.name}"
        processes.send(found, signal.SIGKILL)

    def freeze(self) -> None:
        """The lid is closed: nothing runs any more."""
        seen: set[int] = set()
        while fresh := [p for p in processes.of_home(self.home) if p.pid not in seen]:
            processes.send(fresh, signal.SIGSTOP)
            seen |= {p.pid for p in fresh}

    def thaw(self) -> None:
        """The lid is opened: everything goes on, the supervisor last, because it may not be kept from stopping jobs."""
        for role in ("job", "other", "worker", "keeper", "supervisor"):
            processes.send(self.of_role(role), signal.SIGCONT)

    def lose_power(self) -> None:
        """Worker, supervisor, keeper and jobs end at one blow."""
        self.meant_to_run = False
        processes.kill_all(self.home)
        if self._process is not None:
            self._process.wait(10)

    def end(self) -> None:
        """Remove everything that runs here."""
        self.lose_power()
        # A supervisor that was killed leaves its socket, which for a long path is not in the home.
        for folder in self.home.glob("supervisor/*/"):
            name = hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:20]
            with contextlib.suppress(OSError):
                Path(f"/tmp/relayq-{os.geteuid()}/{name}").unlink(missing_ok=True)

    def supervisor_log(self) -> str:
        """All that its supervisors said."""
        file = self.home / "supervisor" / "supervisor.log"
        with contextlib.suppress(OSError):
            return file.read_text(errors="replace")
        return ""


def since_boot() -> float:
    """Seconds, as in the records."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
