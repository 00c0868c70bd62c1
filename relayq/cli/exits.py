"""How the command line ends: the exit code of a job, and the exit code and sentence of an error."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from relayq.cli.screen import message
from relayq.errors import (
    BadSpec,
    BrokerRefused,
    BrokerUnavailable,
    ConfigError,
    NoSuchWorker,
    Refused,
    RelayqError,
    ResultTimeout,
    UnknownJob,
)

if TYPE_CHECKING:
    from relayq.model import Job

NEGATIVE = 1
USAGE = 2
UNKNOWN = 3
UNREACHABLE = 4
REFUSED = 5
TIMED_OUT = 124
LOST = 125  #: also not started, given up, or waited too long
INTERRUPTED = 130  #: also the code of a cancelled job
NOBODY_READS = 141  #: 128 + SIGPIPE, as any program
OWN_FAULT = 255  #: of the verbs that exit as a job does

#: The first that fits decides. Refused: trying again does not help. Unreachable: it may.
_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (BadSpec, USAGE),
    (ConfigError, USAGE),
    (click.UsageError, USAGE),
    (UnknownJob, UNKNOWN),
    (BrokerRefused, REFUSED),
    (BrokerUnavailable, UNREACHABLE),
    (Refused, REFUSED),
    (NoSuchWorker, REFUSED),
)


def code_of(job: Job) -> int:
    """The exit code of an ended job."""
    outcome = job.attempt.outcome if job.attempt else None
    match job.reason:
        case "exited" if outcome is not None and outcome.signal is not None:
            return 128 + outcome.signal
        case "exited" if outcome is not None and outcome.exit_code is not None:
            return outcome.exit_code
        case "timed_out":
            return TIMED_OUT
        case "cancelled":
            return INTERRUPTED
        case _:
            return LOST


def code_for(error: BaseException, *, stands_for_job: bool = False) -> int:
    """The exit code for what went wrong.

    A verb that exits with its job's code keeps 255 for all that is not the job's doing, except what was wrong
    before anything was asked (2) and its own --timeout (1).
    """
    if isinstance(error, KeyboardInterrupt | click.Abort | EOFError):
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        return NOBODY_READS
    code = next((code for kind, code in _CODES if isinstance(error, kind)), NEGATIVE)
    if stands_for_job and code != USAGE and not isinstance(error, ResultTimeout):
        return OWN_FAULT
    return code


def report(error: BaseException, *, stands_for_job: bool = False) -> int:
    """Say what went wrong, in one sentence on stderr; answers the exit code."""
    if os.environ.get("RELAYQ_DEBUG", "") not in ("", "0"):
        import traceback

        traceback.print_exception(error)
    if isinstance(error, BrokenPipeError):
        _stop_writing()
    elif not isinstance(error, KeyboardInterrupt | click.Abort | EOFError):
        message(_sentence(error))
    return code_for(error, stands_for_job=stands_for_job)


def _sentence(error: BaseException) -> str:
    if isinstance(error, click.UsageError):
        text = error.format_message().rstrip(".")
        path = error.ctx.command_path if error.ctx else "relayq"
        return text if "relayq" in text or text.endswith("?") else f"{text}. See: {path} --help"
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, RelayqError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"unexpected {type(error).__name__}: {error}. To see where it arose: export RELAYQ_DEBUG=1"


def _stop_writing() -> None:
    # Else the interpreter complains when it flushes at its end.
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):
        return
