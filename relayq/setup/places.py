"""Where an installation is: the system's for a broker, a user's for a worker."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Places:
    """The folders of one installation. `current` and `previous` are links to folders in `venvs`."""

    prefix: Path
    command: Path  #: the link by which people call relayq
    home: Path  #: RELAYQ_HOME
    root: Path = Path("/")  #: of the system; tests have another

    @property
    def venvs(self) -> Path:
        """One folder for each installed package; its `wheel/` holds what it was made of."""
        return self.prefix / "venvs"

    @property
    def current(self) -> Path:
        """What runs."""
        return self.prefix / "current"

    @property
    def previous(self) -> Path:
        """What ran before, for `relayq rollback`."""
        return self.prefix / "previous"

    @property
    def receipt(self) -> Path:
        """What was done to the machine."""
        return self.home / "receipt.json"

    @property
    def config(self) -> Path:
        """The settings."""
        return self.home / "config.yml"


def for_broker(env: Mapping[str, str] | None = None, root: Path = Path("/")) -> Places:
    """A broker's places; RELAYQ_PREFIX moves the programs."""
    prefix = _prefix(env, root / "opt/relayq")
    return Places(prefix=prefix, command=root / "usr/local/bin/relayq", home=root / "var/lib/relayq", root=root)


def for_worker(home: Path, env: Mapping[str, str] | None = None) -> Places:
    """A worker's places, with this RELAYQ_HOME; RELAYQ_PREFIX moves the programs."""
    user = Path.home()
    prefix = _prefix(env, user / ".local/share/relayq")
    return Places(prefix=prefix, command=user / ".local/bin/relayq", home=home)


def own_venv() -> Path:
    """The virtual environment of this very process."""
    return Path(sys.prefix)


def _prefix(env: Mapping[str, str] | None, default: Path) -> Path:
    given = (os.environ if env is None else env).get("RELAYQ_PREFIX")
    if given:
        return Path(given).expanduser().absolute()
    # Through sudo the variable is gone; then the folder that we run from says it.
    venvs = own_venv().parent
    return venvs.parent if venvs.name == "venvs" else default
