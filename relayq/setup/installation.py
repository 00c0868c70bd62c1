"""Which installation the relayq that runs now belongs to, for whoever upgrades it or goes back."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from relayq.config import load
from relayq.errors import SetupError
from relayq.setup import places
from relayq.setup.places import Places, own_venv

Role = Literal["broker", "worker"]
ROLE_FILE = "role"  #: in the prefix, so that nobody needs root to know it


@dataclass(frozen=True, kw_only=True)
class Installation:
    """What an installer made."""

    role: Role
    places: Places

    @property
    def service(self) -> Literal["server", "worker"]:
        """What is restarted when another package is to run."""
        return "server" if self.role == "broker" else "worker"


def find() -> Installation:
    """The one we run from. Raises SetupError if no installer made it."""
    prefix = own_venv().parent.parent
    try:
        role = (prefix / ROLE_FILE).read_text("utf-8").strip()
    except OSError:
        raise SetupError(
            f"no installer of relayq made {own_venv()}, from which this runs. Upgrade it the way it was installed"
        ) from None
    env = {"RELAYQ_PREFIX": str(prefix)}
    if role == "broker":
        return Installation(role="broker", places=places.for_broker(env))
    home = load({name: os.environ[name] for name in ("HOME", "RELAYQ_HOME") if name in os.environ}).home
    return Installation(role="worker", places=places.for_worker(home.absolute(), env))


def script(name: str) -> Path:
    """An installer's script: in the package, or at the root of a checkout."""
    package = Path(__file__).parent.parent
    for folder in (package / "server", package.parent):
        if (folder / name).is_file():
            return folder / name
    raise SetupError(f"this relayq has no {name}; install it again")
