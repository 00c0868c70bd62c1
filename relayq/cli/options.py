"""What may be said of a job on a command line: the options that run, submit and map share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from relayq import config_values
from relayq.cli.complete import complete_worker
from relayq.model import (
    DEFAULT_KILL_GRACE,
    DEFAULT_MAX_LOSSES,
    DEFAULT_OUTPUT_BYTES,
    RETRY_DELAY,
    OnLost,
)

F = TypeVar("F", bound=Callable[..., Any])

LIMIT_BYTES = (4 << 20) + 1


def value_type(name: str, read: Callable[[object], Any]) -> Callable[[Any], Any]:
    """An option's type that `config_values` reads, so that a duration is a duration everywhere."""

    def convert(value: Any) -> Any:
        try:
            return read(value)
        except ValueError as error:
            raise click.BadParameter(f"{value!r}; it must be {error}") from None

    convert.__name__ = name  # click shows it
    return convert


def content(value: Any) -> bytes:
    """An option's type: the bytes of a file, or of standard input for "-"; one more than a job may carry at most."""
    try:
        if value == "-":
            return sys.stdin.buffer.read(LIMIT_BYTES)
        with Path(value).open("rb") as file:
            return file.read(LIMIT_BYTES)
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"cannot read {value}: {getattr(error, 'strerror', None) or error}") from None


DURATION = value_type("duration", config_values.duration)
SIZE = value_type("size", config_values.size)


def json_option(function: F) -> F:
    """--json"""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON (see `relayq.cli.records`).")(function)


def job_options(function: F) -> F:
    """The options of a command; the verb gets them as `**given`, for `spec_options`."""
    return _with((*_WHERE, *_COMMAND, *_HOW), function)


def media_options(function: F) -> F:
    """The options of a job that is no command, as `job_options`; and how the verb is to go on."""
    function = click.option(
        "--dry-run", is_flag=True, help="Only say where it would run, machine by machine; run nothing."
    )(function)
    function = click.option("--detach", is_flag=True, help="Print the job's id and leave it.")(function)
    function = click.option("--id", metavar="ID", help="The job's id: the same id again is the same job.")(function)
    return _with((*_WHERE, *_HOW), function)


def _with(options: Sequence[Callable[[Any], Any]], function: F) -> F:
    for option in reversed(options):
        function = option(function)
    return function


_WHERE: tuple[Callable[[Any], Any], ...] = (
    click.option("--on", "--worker", "on", metavar="WORKER", shell_complete=complete_worker, help="Only this worker."),
    click.option(
        "--needs",
        multiple=True,
        metavar="WORD,…",
        help="What its worker must have: labels, capabilities, or such as 'memory>=4G' (in quotes).",
    ),
    click.option("--prefer", multiple=True, metavar="LABEL,…", help="What to choose first, if there is a choice."),
    click.option("--cwd", metavar="FOLDER", help="A folder on the worker. [default: '~', its user's home]"),
    click.option("--env", multiple=True, metavar="NAME=VALUE", help="A variable on top of the worker's environment."),
)
_COMMAND: tuple[Callable[[Any], Any], ...] = (
    click.option("--stdin", type=content, metavar="FILE|-", help="Standard input; nothing by default."),
    click.option(
        "--script",
        type=content,
        metavar="FILE|-",
        help="A program text instead of a command, run by its #! line or /bin/sh.",
    ),
)
_HOW: tuple[Callable[[Any], Any], ...] = (
    click.option("--name", help="Shown instead of the command."),
    click.option("--timeout", type=DURATION, help="How long an attempt may run: 90, 90s, 5m, 2h."),
    click.option("--queue-timeout", type=DURATION, help="How long the job may wait for its first attempt."),
    click.option("--retries", type=int, help="Further attempts after a failure or a timeout. [default: 0]"),
    click.option(
        "--retry-delay", type=DURATION, help=f"Before the first of them; doubles. [default: {RETRY_DELAY:g}s]"
    ),
    click.option("--priority", type=int, help="-10 to 10, higher first. [default: 0]"),
    click.option(
        "--on-lost",
        type=click.Choice([word.value for word in OnLost]),
        help="When its machine is lost. [default: requeue]",
    ),
    click.option("--no-freeze", is_flag=True, help="Let it run on while its machine is cut off from the others."),
    click.option("--max-losses", type=int, help=f"Lost so often, it is given up. [default: {DEFAULT_MAX_LOSSES}]"),
    click.option(
        "--max-output",
        type=SIZE,
        help=f"Output kept, head and tail. [default: {config_values.in_bytes(DEFAULT_OUTPUT_BYTES)}]",
    ),
    click.option("--kill-grace", type=DURATION, help=f"Between TERM and KILL. [default: {DEFAULT_KILL_GRACE:g}s]"),
    click.option("--queue-anyway", is_flag=True, help="Queue it though no known worker may run it."),
)


def spec_options(given: dict[str, Any]) -> dict[str, Any]:
    """What `relayq.spec.make_spec` wants, of what `job_options` gave (`queue_anyway` is not in it)."""
    script = given.get("script")
    return {
        "on": given["on"],
        "needs": _words(given["needs"]),
        "prefer": _words(given["prefer"]),
        "cwd": given["cwd"],
        "env": _environment(given["env"]),
        "stdin": given.get("stdin"),
        "script": None if script is None else _text(script),
        "name": given["name"],
        "timeout": given["timeout"],
        "queue_timeout": given["queue_timeout"],
        "retries": given["retries"],
        "retry_delay": given["retry_delay"],
        "priority": given["priority"],
        "on_lost": given["on_lost"],
        "freeze": False if given["no_freeze"] else None,
        "max_losses": given["max_losses"],
        "max_output_bytes": given["max_output"],
        "kill_grace": given["kill_grace"],
    }


def argv_of(words: Sequence[str]) -> str | list[str] | None:
    """What the words after `--` ask for: one is a text for the shell, several are the exact argv."""
    if not words:
        return None
    return words[0] if len(words) == 1 else list(words)


def command_of(words: Sequence[str], given: dict[str, Any]) -> str | list[str] | None:
    """As `argv_of`, but there must be something to run. Raises UsageError."""
    if not words and given["script"] is None:
        context = click.get_current_context()
        raise click.UsageError(f"nothing to run. For example: {context.command_path} -- echo hello")
    return argv_of(words)


def _words(given: Sequence[str]) -> list[str] | None:
    words = [word.strip() for text in given for word in text.split(",")]
    return [word for word in words if word] or None


def _environment(given: Sequence[str]) -> dict[str, str] | None:
    pairs = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--env takes NAME=VALUE; got {text!r}")
        pairs[name] = value
    return pairs or None


def _text(script: bytes) -> str:
    try:
        return script.decode()
    except UnicodeDecodeError:
        raise click.UsageError("the script is not text in UTF-8; copy programs to the worker and name them") from None
