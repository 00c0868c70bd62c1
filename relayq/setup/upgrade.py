"""Another version: the installer makes it beside the present one, which runs on if the new one proves no good."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from pathlib import Path
from typing import Any

from relayq import service
from relayq.config import Settings
from relayq.effects import Effects
from relayq.errors import SetupError
from relayq.receipt import Receipt
from relayq.setup import canary, installation, proof, running, venvs, worker
from relayq.setup.installation import Installation

INSTALL_PATIENCE = 3600.0  #: seconds; a Pi may have to compile


def upgrade(here: Installation, effects: Effects) -> bool:
    """Install what the broker has (a broker: what the repository has). False if it is here already.

    Raises SetupError if that fails; what ran before then runs again.
    """
    env = {"RELAYQ_PREFIX": str(here.places.prefix)}
    if here.role == "worker":
        server = server_of(worker.read(here.places.home))
        said = _version_at(server)
        if _has(venvs.target(here.places.current), said.get("sha256")):
            return False
        new = venvs.version_in(str(said["wheel"]))
        effects.say(f"from {venvs.version_of(venvs.target(here.places.current))} to {new}, from {server}")
        env |= {"RELAYQ_SERVER": server, "RELAYQ_HOME": str(here.places.home)}
    before = venvs.target(here.places.current)
    name = "install-broker.sh" if here.role == "broker" else "install-worker.sh"
    try:
        argv = ["sh", str(installation.script(name))]
        why = "install (this takes a minute)"
        done = effects.run(argv, why=why, check=False, env=env, timeout=INSTALL_PATIENCE)
        if done.returncode:
            raise SetupError(_last_word(done.stderr) or f"the installer ended with {done.returncode}")
    except SetupError as error:
        effects.receipt = Receipt.load(here.places.receipt, here.role)  # the installer has written in it
        if venvs.target(here.places.current) == before:
            raise
        roll_back(here, effects)
        raise SetupError(f"the new version did not prove itself, and the one before runs again: {error}") from None
    return effects.dry_run or venvs.target(here.places.current) != before


def roll_back(here: Installation, effects: Effects) -> Path:
    """Let the version before run again, and see that it does; its venv. Called again, it goes forward again."""
    venv = venvs.roll_back(here.places, effects)
    manager = service.find(here.service)
    manager.restart(here.service, effects)
    if effects.dry_run:
        return venv
    running.note(here.places, effects)
    if here.role == "worker":
        canary.prove(worker.read(here.places.home), manager)
    else:
        port = int(effects.receipt.facts.get("server_port") or 0)
        if port:
            proof.await_server(port, manager.log_command("server", 15, False))
    return venv


def server_of(settings: Settings) -> str:
    """Where the broker's server answers. Raises SetupError if nothing says so."""
    server = settings.server_url or worker.beside(settings)
    if server is None:
        raise SetupError(
            "config.yml names no server to upgrade from. Write it there: `server: {url: http://HOST:7117}`"
        )
    return server


def _last_word(said: str) -> str:
    """Why the installer ended: its last sentence, and the log that may follow it; not all that pip and apt said."""
    return said.rpartition("\nrelayq: ")[2].strip()[-4000:]


def _version_at(server: str) -> dict[str, Any]:
    # The tailnet is no business of a proxy.
    fetch = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
    try:
        with fetch(f"{server}/version", timeout=10) as answer:
            said = json.load(answer)
    except (OSError, ValueError) as error:
        raise SetupError(f"{server} does not answer ({error}). Is Tailscale up here, and on the broker?") from None
    if not isinstance(said, dict) or not said.get("wheel") or not said.get("sha256"):
        raise SetupError(f"{server} has no package to install. On the broker's machine, run its installer again")
    return said


def _has(venv: Path | None, sha256: object) -> bool:
    wheels = [] if venv is None else list((venv / "wheel").glob("*.whl"))
    return any(hashlib.sha256(wheel.read_bytes()).hexdigest() == sha256 for wheel in wheels)
