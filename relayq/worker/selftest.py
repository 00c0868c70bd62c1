"""Whether this machine can start jobs: a file in its home, and a process under its supervisor."""

from __future__ import annotations

import os
import time
from pathlib import Path

from relayq.supervisor.client import Session
from relayq.supervisor.messages import Exit, Order

FILE_BYTES = 1 << 20  #: a disk with less room than this is full
PATIENCE = 10.0  #: seconds for `true`


def trouble(home: Path, session: Session) -> str | None:
    """What is wrong, as a sentence; None if all is well. Raises SupervisorError."""
    try:
        _write(home / "work")
    except OSError as error:
        return f"cannot write below {home}: {error.strerror or error}"
    return _start(session)


def _write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / f"self-test-{os.getpid()}"
    try:
        with file.open("wb") as out:
            out.write(bytes(FILE_BYTES))
            out.flush()
            os.fsync(out.fileno())
    finally:
        file.unlink(missing_ok=True)


def _start(session: Session) -> str | None:
    key = f"self-test/1/{os.urandom(4).hex()}"
    session.start(Order(key=key, argv=["/bin/sh", "-c", "true"], timeout=PATIENCE, kill_grace=1.0))
    give_up_at = time.monotonic() + PATIENCE + 2.0
    while (frame := session.next(timeout=give_up_at - time.monotonic())) is not None:
        if isinstance(frame, Exit) and frame.key == key:
            session.forget(key)
            if frame.reason == "exited" and frame.exit_code == 0:
                return None
            return f"cannot start a process: {frame.error or frame.reason}"
    return "its supervisor does not answer"
