"""A machine to set up: a root in a temporary folder, and stand-ins for the commands that would change the real one.

The stand-in for systemctl starts what units name for real: Redis, the server and the worker are the true ones.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from relayq import tailnet
from relayq.effects import Effects
from relayq.receipt import Receipt
from relayq.service import systemd
from relayq.setup import places
from relayq.setup.places import Places
from relayq.worker.ending import shut_down
from tests.conftest import free_port, redis_binary

ADDRESS = "127.0.0.2"  #: stands for the Tailscale address: this machine can listen on it, and nobody else reaches it


class Machine:
    """Its root, what was called and what was said."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = folder / "root"
        self.person = SimpleNamespace(pw_name="ada", pw_dir=str(self.root / "home/ada"), pw_gid=os.getgid())
        for name in ("etc/systemd/system", "etc/sysctl.d", "etc/redis", "usr/bin", "usr/local/bin", "var/lib", "opt"):
            (self.root / name).mkdir(parents=True)
        (self.root / "home/ada").mkdir(parents=True)
        (self.root / "lib/systemd/system").mkdir(parents=True)
        (self.root / "lib/systemd/system/redis-server@.service").touch()
        (self.root / "usr/bin/redis-server").symlink_to(redis_binary())
        self._bin, self._state, self._calls = folder / "bin", folder / "state.json", folder / "calls"
        self._bin.mkdir()
        self._state.write_text("{}")
        self.said: list[str] = []
        self.port, self.server_port = free_port(), free_port()
        for name, body in STUBS.items():
            self.stub(name, body)
        self.say_tailnet(ADDRESS)
        self._monkeypatch = monkeypatch
        monkeypatch.setenv("PATH", f"{self._bin}:/usr/bin:/bin")
        monkeypatch.setenv("STUB_ROOT", str(self.root))
        monkeypatch.setenv("HOME", self.person.pw_dir)
        for variable in [name for name in os.environ if name.startswith("RELAYQ_")]:
            monkeypatch.delenv(variable)
        monkeypatch.setattr(tailnet, "PLACES", ())
        monkeypatch.setattr(systemd, "SYSTEM_UNITS", self.root / "etc/systemd/system")
        monkeypatch.setattr("pwd.getpwnam", self._user)
        self.users = {"ada", "root"}
        self.install("1")

    def install(self, stamp: str, version: str = "2.0.0", *, prefix: str = "opt/relayq") -> Path:
        """A virtual environment as the script makes it, of which this process is the program."""
        venv = self.root / prefix / "venvs" / stamp
        (venv / "bin").mkdir(parents=True)
        (venv / "wheel").mkdir()
        (venv / "wheel" / f"relayq-{version}-py3-none-any.whl").write_text(stamp)
        program = venv / "bin/relayq"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m relayq "$@"\n')
        program.chmod(0o755)
        self.be(venv)
        return venv

    def be(self, venv: Path) -> None:
        """This process is that one's program."""
        self._monkeypatch.setattr(sys, "prefix", str(venv))

    @property
    def places(self) -> Places:
        return places.for_broker({}, self.root)

    def effects(self, *, dry_run: bool = False) -> Effects:
        """Of a new run."""
        self.said.clear()
        self.calls()
        return Effects(Receipt.load(self.places.receipt, "broker"), dry_run=dry_run, say=self.said.append, elevate=())

    def calls(self) -> list[str]:
        """The commands that changed something, since the last look."""
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        self._calls.unlink(missing_ok=True)
        return lines

    def stub(self, name: str, body: str) -> None:
        """A command of that name: a text of Python, which finds `argv`, `root` and `state`."""
        file = self._bin / name
        file.write_text(
            f"#!{sys.executable} -IS\n" + _HEAD.format(state=self._state, calls=self._calls, name=name) + body
        )
        file.chmod(file.stat().st_mode | stat.S_IXUSR)

    def say_tailnet(self, address: str | None) -> None:
        """What `tailscale status --json` says from now on."""
        addresses = [address] if address else None
        said: dict[str, Any] = {"BackendState": "Running" if address else "NeedsLogin", "TailscaleIPs": addresses}
        said["Self"] = {"DNSName": "vm.tail.ts.net.", "TailscaleIPs": addresses, "Online": bool(address)}
        self.stub("tailscale", f"print({json.dumps(said)!r})")

    def files(self) -> dict[str, str]:
        """Everything in the root, for comparing."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            if path.is_symlink():
                found[name] = f"-> {path.readlink()}"
            elif path.is_file() and "redis-relayq/" not in name.replace("redis-relayq.", ""):
                found[name] = path.read_text(errors="replace")
        return found

    def close(self) -> None:
        """Leave no process."""
        home = self.root / "home/ada/.relayq"
        self.stop()
        if home.is_dir():
            shut_down(home)

    def stop(self) -> None:
        """End what the stand-in for systemctl started."""
        env = os.environ | {"STUB_ROOT": str(self.root), "HOME": self.person.pw_dir}
        for unit in json.loads(self._state.read_text()):
            subprocess.run([self._bin / "systemctl", "stop", unit], env=env, check=False)

    def _user(self, name: str) -> Any:
        made = json.loads(self._state.read_text()).get("user:relayq")
        if name == "ada" or (name == "relayq" and made):
            return self.person
        raise KeyError(name)


_HEAD = (
    """\
import json, os, pathlib, re, shlex, signal, subprocess, sys, time
STATE = pathlib.Path({state!r})
argv, root = sys.argv[1:], pathlib.Path(os.environ["STUB_ROOT"])
state = json.loads(STATE.read_text())
def note(text=None):
    with open({calls!r}, "a") as calls:
        calls.write((text or " ".join([{name!r}, *argv])) + "\\n")
def save():
    STATE.write_text(json.dumps(state))
""".replace("{state!r}", "'{state}'")
    .replace("{calls!r}", "'{calls}'")
    .replace("{name!r}", "'{name}'")
)

_SYSTEMCTL = """
user = "--user" in argv
words = [word for word in argv if not word.startswith("-")]
verb, unit = words[0] if words else "", words[1] if len(words) > 1 else ""
folders = [pathlib.Path(os.environ["HOME"], ".config/systemd/user")] if user else []
folders += [root / "etc/systemd/system", root / "lib/systemd/system"]

def file_of(unit):
    names = [unit, re.sub(r"@.*\\.", "@.", unit)]
    return next((f / name for f in folders for name in names if (f / name).exists()), None)
def one(unit):
    return state.setdefault(unit, {"enabled": False, "pid": 0})
def alive(unit):
    pid = one(unit)["pid"]
    try:
        return bool(pid) and pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
def start(unit):
    if alive(unit):
        return
    file = file_of(unit)
    if file is None:
        sys.exit(f"Unit {unit} not found.")
    text = file.read_text()
    command = re.search(r"^ExecStart=(.*)$", text, re.M)
    template = [str(root / "usr/bin/redis-server"), str(root / "etc/redis/redis-relayq.conf")]
    run = shlex.split(command[1]) if command else template
    env = dict(os.environ)
    for line in re.findall(r"^Environment=(.*)$", text, re.M):
        name, _, value = shlex.split(line)[0].partition("=")
        if name != "PATH":  # the stand-ins must be found
            env[name] = value
    log = open(root / f"{unit}.log", "ab")
    quiet = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
    one(unit)["pid"] = subprocess.Popen(run, env=env, start_new_session=True, **quiet).pid
def stop(unit):
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + 10
        while alive(unit) and time.monotonic() < deadline:
            os.kill(one(unit)["pid"], number)
            time.sleep(0.05)
    one(unit)["pid"] = 0

if argv == ["--version"]:
    print("systemd 252 (252.39)")
elif verb == "is-system-running":
    print("running")
elif verb == "is-active":
    sys.exit(0 if alive(unit) else 3)
elif verb == "is-enabled":
    sys.exit(0 if one(unit)["enabled"] else 1)
elif verb == "show":
    there, runs = file_of(unit), alive(unit)
    print("LoadState=" + ("loaded" if there else "not-found"))
    print("ActiveState=" + ("active" if runs else "inactive"))
    print("SubState=" + ("running" if runs else "dead"))
    print("UnitFileState=" + ("enabled" if one(unit)["enabled"] else "disabled"))
    print(f"MainPID={one(unit)['pid']}")
else:
    note()
    if verb in ("enable", "disable"):
        one(unit)["enabled"] = verb == "enable"
    now = "--now" in argv
    if verb in ("stop", "restart") or (now and verb == "disable"):
        stop(unit)
    if verb in ("start", "restart") or (now and verb == "enable"):
        start(unit)
save()
"""

STUBS = {
    "systemctl": _SYSTEMCTL,
    "journalctl": """
unit = next((w for w in argv if w.endswith(".service")), "").rpartition("=")[2]
log = root / f"{unit}.log"
print(log.read_text(errors="replace")[-3000:] if log.exists() else "-- No entries --")
""",
    # Owners are for root only, and the users of a broker are not on the machine that runs the tests.
    "install": """
kept = [w for i, w in enumerate(argv) if w not in ("-o", "-g") and (i == 0 or argv[i - 1] not in ("-o", "-g"))]
os.execv("/usr/bin/install", ["install", *kept])
""",
    "useradd": "note()\nstate['user:relayq'] = {'enabled': 0, 'pid': 0}\nsave()",
    "userdel": "note()\nstate.pop('user:relayq', None)\nsave()",
    "sysctl": "note()",
    "loginctl": "print('yes')",
    "crontab": "note(' '.join(['crontab', *argv]))",
    "apt-get": "note()",
    "apt-cache": "print('  Candidate: 5:7.0.15-1~deb12u1')",
    "dpkg-query": "print('base-files')",
}
