"""systemctl, loginctl, launchctl and sudo as far as relayq uses them: they note their arguments and keep a state.

What they answer and how they fail is what the real ones were seen to do: the first three on systemd 252, launchctl as
its users report it.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from relayq.effects import Effects
from relayq.receipt import Receipt


def need(there: object, what: str) -> None:
    """Skip (which is a failure in CI), and say how to get what is missing."""
    if not there:
        pytest.skip(what)


class Bench:
    """A home, a receipt, stubs first on the PATH, and what was said."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.home = folder / "user"
        self.relayq_home = self.home / ".relayq"
        self.relayq_home.mkdir(parents=True)
        self._bin = folder / "bin"
        self._bin.mkdir()
        self._state = folder / "state.json"
        self._calls = folder / "calls"
        self.said: list[str] = []
        self.set()
        monkeypatch.setenv("PATH", f"{self._bin}:/usr/bin:/bin")
        monkeypatch.setenv("HOME", str(self.home))
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        for program in (SYSTEMCTL, LOGINCTL, LAUNCHCTL, SUDO):
            self._stub(*program)

    def effects(self, *, dry_run: bool = False) -> Effects:
        """Of a new run."""
        self.said.clear()
        receipt = Receipt.load(self.relayq_home / "receipt.json", "worker")
        return Effects(receipt, dry_run=dry_run, say=self.said.append, elevate=("sudo",))

    @property
    def receipt(self) -> Receipt:
        return Receipt.load(self.relayq_home / "receipt.json")

    @property
    def state(self) -> dict[str, Any]:
        """What the stubs know."""
        return json.loads(self._state.read_text())  # type: ignore[no-any-return]

    def set(self, **changes: Any) -> None:
        """Change what they know."""
        state = json.loads(self._state.read_text()) if self._state.exists() else _BEGINNING
        self._state.write_text(json.dumps({**state, **changes}))

    def calls(self, *without: str) -> list[str]:
        """The commands that changed something, since the last look; `sudo` stands before what root did."""
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        self._calls.unlink(missing_ok=True)
        asking = ("show", "is-system-running", "--version", "show-user", "print", "print-disabled", *without)
        return [line for line in lines if not any(f" {word}" in f" {line}".replace("--user ", "") for word in asking)]

    def _stub(self, name: str, body: str) -> None:
        file = self._bin / name
        head = f"#!{sys.executable} -IS\n" + _HEAD.format(state=str(self._state), calls=str(self._calls), name=name)
        file.write_text(head + body)
        file.chmod(file.stat().st_mode | stat.S_IXUSR)


_BEGINNING: dict[str, Any] = {
    "system": "running",
    "user": "running",  # the user's manager: "offline" until the user lingers
    "linger": False,
    "may_linger": True,
    "needs_root_to_linger": False,
    "version": "252 (252.39-1~deb12u2)",
    "units": {},
    "fails": {},  # verb: [exit code, what it says]
    "shown": {},  # service: properties that `show` is to answer
    # launchd:
    "domains": ["gui", "user", "system"],
    "loaded": {},
    "disabled": {},
    "gone_after": 0,  # so many looks later is a job gone that was booted out
    "dies": False,  # a loaded job has no process
    "lies": None,  # bootstrap: 0, it says yes and does nothing; 5, it says no and does it
    "pid": os.getpid(),
}

_HEAD = """\
import json, os, pathlib, sys
STATE = pathlib.Path({state!r})
argv = sys.argv[1:]
if {name!r} != "sudo":
    with open({calls!r}, "a") as calls:
        calls.write(("sudo " if os.environ.get("STUB_ROOT") else "") + " ".join([{name!r}, *argv]) + "\\n")
state = json.loads(STATE.read_text())
def done(code=0, out="", err=""):
    STATE.write_text(json.dumps(state))
    print(out) if out else None
    print(err, file=sys.stderr) if err else None
    sys.exit(code)
"""

SUDO = (
    "sudo",
    """
os.environ["STUB_ROOT"] = "1"
os.execvp(argv[0], argv)
""",
)

LOGINCTL = (
    "loginctl",
    """
words = [word for word in argv if not word.startswith("-")]
if words[0] == "show-user":
    if not state["linger"]:
        done(1, err="Failed to get user: User ID 1000 is not logged in or lingering")
    done(out="yes")
if words[0] == "enable-linger":
    if not state["may_linger"] or state["needs_root_to_linger"] and not os.environ.get("STUB_ROOT"):
        done(1, err="Could not enable linger: Access denied")
    state["linger"] = True
    if state["user"] == "offline":
        state["user"] = "coming:3"
if words[0] == "disable-linger":
    state["linger"] = False
done()
""",
)

SYSTEMCTL = (
    "systemctl",
    """
user = "--user" in argv
words = [word for word in argv if not word.startswith("--")]
if argv == ["--version"]:
    done(out="systemd " + state["version"])
which = "user" if user else "system"
if user and os.environ.get("XDG_RUNTIME_DIR") != f"/run/user/{os.geteuid()}":
    done(1, err="Failed to connect to bus: No medium found")
manager = state[which]
if manager.startswith("coming:"):
    left = int(manager[7:]) - 1
    state[which] = f"coming:{left}" if left else "degraded"
    manager = "offline"
if manager == "offline":
    done(1, "offline" if words[0] == "is-system-running" else "", "Failed to connect to bus: No such file or directory")
verb = words[0]
if verb in state["fails"]:
    done(*state["fails"][verb][:1], err=state["fails"][verb][1])
if verb == "is-system-running":
    done(0 if manager == "running" else 1, manager)
unit = state["units"].setdefault(f"{which} {words[1]}", {}) if len(words) > 1 else {}
folders = (os.path.join(os.environ["HOME"], ".config/systemd/user"), str(STATE.parent / "etc/systemd/system"))
there = len(words) > 1 and os.path.exists(os.path.join(folders[0 if user else 1], words[1]))
if verb == "show":
    active = unit.get("active") or ("active" if there and unit.get("pid") else "inactive")
    shown = {
        "LoadState": "loaded" if there else "not-found",
        "ActiveState": active,
        "SubState": "running" if active == "active" else "dead",
        "UnitFileState": "enabled" if unit.get("enabled") else "disabled" if there else "",
        "MainPID": unit.get("pid", 0),
        "NRestarts": 0,
        "ExecMainStartTimestamp": "Wed 2026-11-25 10:25:47 UTC" if os.environ.get("TZ") == "UTC" else "garbled",
        "ExecMainCode": 0,
        "ExecMainStatus": 0,
        "Result": "success",
        **state["shown"].get(words[1], {}),
    }
    done(out="\\n".join(f"{key}={value}" for key, value in shown.items()))
if verb in ("enable", "start", "restart") and not there:
    done(5, err=f"Failed to {verb} {words[1]}: Unit {words[1]} not found.")
if verb == "enable":
    unit["enabled"] = True
if verb == "disable":
    unit["enabled"] = False
if verb in ("start", "restart"):
    unit["pid"] = state["pid"]
if verb == "stop":
    unit["pid"] = 0
done()
""",
)

LAUNCHCTL = (
    "launchctl",
    """
verb = argv[0]
target = argv[-1] if verb != "bootstrap" else argv[1]
whole = target.count("/") == 2 or target.startswith("system/")
domain, _, label = target.rpartition("/") if whole else (target, "", "")
kind = domain.partition("/")[0]
loaded = state["loaded"]
if kind == "system" and verb not in ("print", "print-disabled") and not os.environ.get("STUB_ROOT"):
    done(1, err="Operation not permitted")
if verb == "bootstrap":
    if kind not in state["domains"]:
        done(125, err="Bootstrap failed: 125: Domain does not support specified action")
    import plistlib
    with open(argv[2], "rb") as file:
        job = plistlib.load(file)
    name = f"{domain}/{job['Label']}"
    if name in loaded or state["disabled"].get(name):
        done(5, err="Bootstrap failed: 5: Input/output error")
    wanted = job.get("LimitLoadToSessionType", ["Aqua"])
    if kind == "user" and "Background" not in wanted or kind == "gui" and "Aqua" not in wanted:
        done(134, err="Bootstrap failed: 134: Service cannot load in requested session")
    if state["lies"] != 0:
        loaded[name] = {"runs": 1, "pid": 0 if state["dies"] else state["pid"]}
    done(state["lies"] or 0)
if verb == "print-disabled":
    names = [name.rpartition("/") for name in state["disabled"]]
    words = {name[2]: "disabled" if state["disabled"]["/".join(name[::2])] else "enabled" for name in names}
    done(out="disabled services = {\\n" + "".join(f'\\t"{k}" => {v}\\n' for k, v in words.items()) + "}")
if verb == "enable":
    state["disabled"][target] = False
    done()
job = loaded.get(target)
if job is None:
    done(113, err=f'Could not find service "{label}" in domain for {domain}')
if verb == "print":
    if "going" in job:
        job["going"] -= 1
        if job["going"] < 0:
            del loaded[target]
            done(113, err=f'Could not find service "{label}" in domain for {domain}')
    running = job["pid"] and "going" not in job
    done(out=f"{target} = {{\\n\\tactive count = 1\\n\\tstate = {'running' if running else 'not running'}\\n\\n"
        + "\\tenvironment = {\\n\\t\\tXPC_SERVICE_NAME => x\\n\\t\\tpid = 1\\n\\t}\\n"
        + f"\\truns = {job['runs']}\\n" + (f"\\tpid = {job['pid']}\\n" if running else "")
        + "\\tlast exit code = " + ("(never exited)" if running else "5") + "\\n}")
if verb == "bootout":
    if state["gone_after"]:
        job["going"] = state["gone_after"]
    else:
        del loaded[target]
    done()
if verb == "kill":
    job["pid"] = 0
    done()
if verb == "kickstart":
    job["pid"], job["runs"] = state["pid"], job["runs"] + 1
    done()
done(64, err=f"unknown verb {verb}")
""",
)
