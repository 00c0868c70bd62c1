"""Input that is there, and output that is written aside and takes its name when it is complete."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path
from types import TracebackType

from relayq.media.probe import is_address
from relayq.media.trouble import Trouble, shown
from relayq.supervisor.environment import ATTEMPT, JOB_ID

_LOST = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})


def at_home(path: str) -> str:
    """`~/…` is the home of the worker's user, as it is for the folder of a job; anything else is what it is."""
    return os.path.expanduser(path) if path.startswith("~/") and not os.path.lexists(path) else path  # noqa: PTH111


def check_input(path: str, machine: str) -> int | None:
    """The input's size in bytes; None for what is no single file (an address, numbered pictures). Raises Trouble."""
    file = Path(path)
    try:
        size = file.stat().st_size
    except FileNotFoundError:
        if is_address(path) or re.search(r"%\d*d", path):
            return None
        raise Trouble(f"no such file on {machine}: {shown(path)}") from None
    except OSError as error:
        raise Trouble(f"{machine} cannot read {shown(path)}: {error.strerror}") from None
    if file.is_dir():
        raise Trouble(f"this is a folder on {machine}, not a file: {shown(path)}")
    if not os.access(path, os.R_OK):
        raise Trouble(f"{machine} cannot read {shown(path)}: Permission denied")
    if size == 0 and file.is_file():
        raise Trouble(f"this file is empty on {machine}: {shown(path)}")
    if file.is_file() and (wanted := _riff_bytes(file)) is not None and size < wanted:
        raise Trouble(f"{shown(path)} is damaged or incomplete: {size} of {wanted} bytes. Copy it again")
    return size


def _riff_bytes(file: Path) -> int | None:
    """How long a WAV or AVI file says it is: nobody else notices that one is cut off."""
    with file.open("rb") as opened:
        head = opened.read(8)
    size = int.from_bytes(head[4:], "little")
    # What was written without knowing says 0, or as much as there can be.
    return size + 8 if head[:4] == b"RIFF" and 0 < size < 0xF0000000 else None


class Aside:
    """A folder beside the output, in which it is written under its own name; whatever happens, it is gone afterwards.

    With the output go other files that the program writes beside it: the pieces of a stream, numbered pictures.
    """

    def __init__(self, output: str, machine: str, *, input: str) -> None:
        self._target = Path(os.path.realpath(output))  # a link stays one
        self._machine = machine
        folder = self._target.parent
        if not folder.is_dir():
            raise Trouble(f"no such folder on {machine}: {shown(str(folder))}. Make it first, or name another")
        if self._target.exists() and not self._target.is_file():
            raise Trouble(f"this is no file on {machine} that could be replaced: {shown(output)}")
        if self._target.exists() and Path(input).exists() and self._target.samefile(input):
            raise Trouble(f"input and output are the same file on {machine}: {shown(output)}. Name another output")
        job = os.environ.get(JOB_ID, str(os.getpid()))
        self._job = f".relayq-{job}-"
        self._folder = folder / f"{self._job}{os.environ.get(ATTEMPT, '0')}"
        self.path = str(self._folder / self._target.name)

    def __enter__(self) -> Aside:
        for left in self._target.parent.glob(f"{self._job}*"):  # of an attempt that lost its machine
            shutil.rmtree(left, ignore_errors=True)
        try:
            self._folder.mkdir(mode=0o755)
        except OSError as error:
            where = shown(str(self._target.parent))
            raise Trouble(f"{self._machine} cannot write into {where}: {error.strerror}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def complete(self) -> int:
        """Everything takes its name, the output last. Its size in bytes. Raises Trouble if nothing was written."""
        files = sorted(self._folder.iterdir(), key=lambda file: file.name == self._target.name)
        if not files:
            raise Trouble(f"nothing was written to {shown(str(self._target))}")
        for file in files:
            _sync(file)
        size = files[-1].stat().st_size
        for file in files:
            file.replace(self._target.with_name(file.name))
        _sync(self._target.parent)
        return size


def _sync(path: Path) -> None:
    """On the disk, so that a power cut does not leave a name without its content."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno in _LOST:  # some file systems only tell now; others cannot sync at all
            raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(handle)
