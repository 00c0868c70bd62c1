"""The store in a file: jobs, their output, tokens, machines and their users. It is restored into a running broker."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import relayq
from relayq.embedded_server import find_server
from relayq.errors import BrokerUnavailable, SetupError
from relayq.store import backup as store_backup

_MAGIC = b"relayq backup 1\n"
_PATIENCE = 60.0  #: seconds until a server has read the snapshot


def save(url: str, file: Path) -> int:
    """Write a backup; its size in bytes. The file appears when it is complete. Raises SetupError, BrokerUnavailable."""
    users = store_backup.users(url)
    new = file.with_name(f".{file.name}.new")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(_MAGIC)
            about = {"relayq": relayq.__version__, "at": time.time(), "users": users, "jobs": store_backup.holds(url)}
            stream.write(json.dumps(about).encode() + b"\n")
            with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=6) as packed:
                store_backup.snapshot(url, cast("BinaryIO", packed))
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(file)
    except OSError as error:
        if isinstance(error, BrokerUnavailable):
            raise
        raise SetupError(f"{file} cannot be written: {error.strerror}. Name another file") from error
    finally:
        new.unlink(missing_ok=True)
    return file.stat().st_size


def about(file: Path) -> dict[str, object]:
    """What a backup says of itself. Raises SetupError if it is none."""
    with _opened(file) as (_, head):
        return head


def restore(url: str, file: Path) -> int:
    """Replace what the store at `url` holds by what the file holds; how many keys that were. Raises as `save`."""
    with _opened(file) as (stream, head), tempfile.TemporaryDirectory(prefix="relayq-restore-") as folder:
        try:
            with gzip.GzipFile(fileobj=stream) as packed, (Path(folder) / "dump.rdb").open("wb") as dump:
                shutil.copyfileobj(packed, dump)
        except (OSError, EOFError, gzip.BadGzipFile) as error:
            raise SetupError(f"{file} is damaged ({error}): nothing was changed") from None
        with _serving(Path(folder)) as source:
            count = store_backup.copy(source, url)
        store_backup.put_users(url, [str(line) for line in cast("list[str]", head["users"])])
        return count


@contextmanager
def _opened(file: Path) -> Iterator[tuple[BinaryIO, dict[str, object]]]:
    try:
        with file.open("rb") as stream:
            if stream.readline(100) != _MAGIC:
                raise SetupError(f"{file} is no backup of relayq")
            yield stream, json.loads(stream.readline())
    except FileNotFoundError:
        raise SetupError(f"there is no file {file}") from None
    except ValueError as error:
        raise SetupError(f"{file} is damaged ({error}): nothing was changed") from None


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    """A server of our own, on a socket that only we can reach, with the snapshot of that folder."""
    server, path, log = find_server(), folder / "s", folder / "log"
    (folder / "redis.conf").write_text(
        f'port 0\nunixsocket "{path}"\nunixsocketperm 600\ndir "{folder}"\nlogfile "{log}"\nsave ""\nappendonly no\n'
    )
    process = subprocess.Popen([server.path, folder / "redis.conf"], stdout=subprocess.DEVNULL)
    try:
        give_up_at = time.monotonic() + _PATIENCE
        while not _answers(f"unix://{path}"):
            if process.poll() is not None or time.monotonic() > give_up_at:
                said = log.read_text(errors="replace").splitlines()[-3:] if log.exists() else []
                raise SetupError(
                    f"{server.path} ({server.name} {server.version}) cannot read this backup: " + " / ".join(said)
                )
            time.sleep(0.05)
        yield f"unix://{path}"
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        store_backup.holds(url)
    except BrokerUnavailable:
        return False
    return True
