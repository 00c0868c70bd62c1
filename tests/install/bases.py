"""Debian systems as a cloud or a Raspberry Pi image has them, one per suite and architecture: built once, then shared.

`base("bookworm")` gives the folder of one, which nobody writes to: nodes are overlays on it. It has systemd, sudo, curl
and python3, but no python3-venv, and a user `owner` who may sudo without a password.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, cast, get_args

from . import emulation
from .archives import archives
from .commands import call
from .runs import cache

Suite = Literal["bookworm", "trixie"]
Arch = Literal["amd64", "arm64"]

_PACKAGES = (
    "systemd,systemd-sysv,dbus,libpam-systemd,ca-certificates,curl,iproute2,iputils-ping,procps,sudo,less,python3"
)
_VERSION = 1  #: to be raised when `_build` makes another system of the same packages
_PATIENCE = 1800.0  #: seconds; an emulated processor takes minutes

#: It ends when we end, with all that it started, and its mounts are nobody else's.
_BOUND = (
    "setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child", "--",
)  # fmt: skip


def suite() -> Suite:
    """What tests boot where they do not care: RELAYQ_SUITE, else bookworm."""
    named = os.environ.get("RELAYQ_SUITE", "bookworm")
    assert named in get_args(Suite), f"RELAYQ_SUITE={named}"
    return cast(Suite, named)


def native() -> Arch:
    """This machine's architecture."""
    return "arm64" if os.uname().machine == "aarch64" else "amd64"


def base(suite: Suite, arch: Arch | None = None) -> Path:
    """The root folder of a system; builds it if there is none. Two processes that want the same one build it once."""
    arch = arch or native()
    if arch != native():
        emulation.start(arch)
    # A base that an older checkout built is another one.
    recipe = hashlib.sha256(f"{_PACKAGES} {_VERSION}".encode()).hexdigest()[:8]
    folder = cache() / "bases" / f"{suite}-{arch}-{recipe}"
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.with_suffix(".lock")):
        if not folder.exists():
            for left in folder.parent.glob(f".{folder.name}-*"):  # by a build that was interrupted
                shutil.rmtree(left)
            beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
            _build(beside, suite, arch)
            beside.rename(folder)
    return folder


def _build(root: Path, suite: Suite, arch: Arch) -> None:
    root.chmod(0o755)
    call(
        *_BOUND, "debootstrap", f"--arch={arch}", "--variant=minbase", f"--include={_PACKAGES}", suite, root,
        *([archives().debian or ""] if archives().debian else []), timeout=_PATIENCE, env=_plain(),
    )  # fmt: skip
    shutil.rmtree(root / "debootstrap", ignore_errors=True)
    for path in [*root.glob("var/cache/apt/archives/*.deb"), *root.glob("var/lib/apt/lists/*_*")]:
        path.unlink()
    call("chroot", root, "useradd", "--create-home", "--shell", "/bin/bash", "owner", env=_plain())
    sudoers = root / "etc/sudoers.d/owner"
    sudoers.write_text("owner ALL=(ALL) NOPASSWD: ALL\n")
    sudoers.chmod(0o440)


def _plain() -> dict[str, str]:
    """An environment without anything of ours."""
    return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/root"}


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
