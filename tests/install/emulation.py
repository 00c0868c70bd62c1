"""Running another architecture's programs through qemu: registered with the kernel while a test process needs it."""

from __future__ import annotations

import fcntl
from functools import cache
from pathlib import Path
from typing import IO

from .commands import call
from .runs import cache as folder

_KERNEL = Path("/proc/sys/fs/binfmt_misc")
_QEMU = {"arm64": "qemu-aarch64", "amd64": "qemu-x86_64"}
_uses: list[IO[str]] = []


def without(arch: str) -> str:
    """What is missing to emulate this; empty if nothing is."""
    if (_KERNEL / _QEMU[arch]).exists() or _setting(arch):
        return ""
    return f"{arch} cannot be emulated here: apt install --no-install-recommends qemu-user-static"


@cache
def start(arch: str) -> None:
    """Programs of `arch` run from now on, until `stop` of the last process that called this."""
    folder().mkdir(parents=True, exist_ok=True)
    use = (folder() / "emulation.lock").open("a")
    fcntl.flock(use, fcntl.LOCK_SH)
    _uses.append(use)
    if not (_KERNEL / "register").exists():
        call("mount", "-t", "binfmt_misc", "binfmt_misc", _KERNEL)
        _ours("mount").touch()
    if not (_KERNEL / _QEMU[arch]).exists():
        (_KERNEL / "register").write_text(_setting(arch))
        _ours(arch).touch()


def stop() -> None:
    """Undo what test processes registered, unless another one still uses it."""
    for use in _uses:
        with use:
            try:
                fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            _undo()
    _uses.clear()
    start.cache_clear()


def _undo() -> None:
    for arch, name in _QEMU.items():
        if _ours(arch).exists():
            _ours(arch).unlink()
            if (_KERNEL / name).exists():  # not if the machine was restarted meanwhile
                (_KERNEL / name).write_text("-1")
    if _ours("mount").exists():
        _ours("mount").unlink()
        if (_KERNEL / "register").exists():
            call("umount", _KERNEL)


def _ours(what: str) -> Path:
    """Is there if this is to be undone."""
    return folder() / f"emulation-{what}"


def _setting(arch: str) -> str:
    """Debian's, by which the kernel opens qemu itself, and a root folder needs no copy of it.

    With credentials (C) besides: without them sudo is nobody in particular.
    """
    files = [Path(f"{d}/binfmt.d/{_QEMU[arch]}.conf") for d in ("/etc", "/usr/lib")]
    found = next((file for file in files if file.exists()), None)
    return f"{found.read_text().strip()}C" if found else ""
