"""A lock file that its holder may remove."""

import fcntl
import os
import time


def acquire(path: str, patience: float = 0.0) -> int | None:
    """The locked descriptor (close it, or die, to release), or None if somebody else held it all the time."""
    give_up_at = time.monotonic() + patience
    while True:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # the folder was just removed by a take-over
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _same(fd, path):
                return fd
        except BlockingIOError:
            if time.monotonic() >= give_up_at:
                os.close(fd)
                return None
            time.sleep(0.01)
        os.close(fd)


def _same(fd: int, path: str) -> bool:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return False
    mine = os.fstat(fd)
    return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)
