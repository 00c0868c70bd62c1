"""The worker's log: one line an event with its keys, on standard error or in a file that cannot grow without end."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from contextlib import suppress
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

LIMIT_BYTES = 5 << 20  #: of one file
OLDER_FILES = 2  #: kept beside it: `worker.log.1`, `worker.log.2`

_STANDARD_KEYS = {*vars(logging.makeLogRecord({})), "message", "asctime"}

log = logging.getLogger("relayq.worker")


def set_up(level: str, file: Path | None) -> None:
    """From now on all logging of this process goes to `file`, else to standard error.

    A file that cannot be written is no reason not to work: the log is then on standard error, and says so.
    """
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    trouble = None
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            handler = _BoundedFile(file)
        except OSError as error:
            trouble = error
    handler.setFormatter(Line())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        with suppress(OSError):
            old.close()
    root.addHandler(handler)
    logging.captureWarnings(True)
    logging.getLogger("relayq").setLevel(level)
    # Not below INFO: Celery's debug lines have the arguments of 1.x tasks, which are people's command lines.
    root.setLevel(max(logging.INFO, logging.getLevelNamesMapping()[level]))
    if trouble is not None:
        log.warning("the log is here, its file cannot be written", extra={"file": str(file), "error": trouble.strerror})


class Line(logging.Formatter):
    """`2026-11-25T03:00:00 INFO relayq.worker broker away error="connection refused"`

    Of others' records (Celery's, kombu's) it is the first line of the message alone: what follows, and their extra
    keys, may be a task's arguments.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line; under that of an unexpected error of ours, indented, where it arose."""
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(record.created))
        ours = record.name.partition(".")[0] == "relayq"
        message = record.getMessage()
        words = [at, record.levelname, record.name, _printable(message if ours else message.partition("\n")[0])]
        if ours:
            words += [f"{key}={_value(value)}" for key, value in vars(record).items() if key not in _STANDARD_KEYS]
        elif record.exc_info and record.exc_info[0]:
            words.append(f"exception={record.exc_info[0].__name__}")
        line = " ".join(words)
        if ours and record.exc_info:
            arose = self.formatException(record.exc_info)
            line = "\n    ".join([line, *map(_printable, arose.splitlines())])
        return line


class _BoundedFile(RotatingFileHandler):
    """As its base; and where standard output or error is this very file, it moves to the new one as well."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, maxBytes=LIMIT_BYTES, backupCount=OLDER_FILES, encoding="utf-8", errors="replace")

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding="utf-8", errors="replace", opener=_for_its_owner)

    def doRollover(self) -> None:  # noqa: N802  (its base's name)
        """Begin a new file."""
        with_it = [number for number in (1, 2) if _same_file(number, self.stream)]
        super().doRollover()
        if self.stream is not None:
            for number in with_it:
                os.dup2(self.stream.fileno(), number)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """A full disk costs log lines and nothing else."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _same_file(number: int, stream: TextIOWrapper | None) -> bool:
    try:
        return stream is not None and os.path.sameopenfile(number, stream.fileno())
    except (OSError, ValueError):
        return False


def _value(value: object) -> str:
    text = str(value)
    plain = text and text.isprintable() and not set(text) & set(" \"'=")
    return text if plain else _printable(json.dumps(text, ensure_ascii=False))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\\n" if c == "\n" else "?" for c in text)
