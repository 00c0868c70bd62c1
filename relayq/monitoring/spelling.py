"""A job's spec as the command line, or the Python call, that asks for the same."""

from __future__ import annotations

import shlex
from dataclasses import fields
from typing import Any

from relayq.model import JobSpec

_DEFAULTS = JobSpec()
_POSITIONAL = {"transcode": ("input", "output"), "transcribe": ("input",)}  #: parameters that stand without a name
_CLI = {  # field → option
    "on": "--on",
    "cwd": "--cwd",
    "name": "--name",
    "timeout": "--timeout",
    "queue_timeout": "--queue-timeout",
    "retries": "--retries",
    "retry_delay": "--retry-delay",
    "priority": "--priority",
    "on_lost": "--on-lost",
    "max_losses": "--max-losses",
    "max_output_bytes": "--max-output",
    "kill_grace": "--kill-grace",
}


def as_cli(spec: JobSpec) -> str:
    """A line for bash or zsh. Environment variables take their values from the shell: they are not told again."""
    words = ["relayq", "submit"] if spec.kind == "command" else ["relayq", spec.kind, "--detach"]
    for name in _given(spec):
        value = getattr(spec, name)
        if name in _CLI:
            words.append(f"{_CLI[name]}={shlex.quote(_plain(value))}")
        elif name in ("needs", "prefer"):
            words.append(f"--{name}={shlex.quote(','.join(value))}")
        elif name == "env":
            words += [f'--env {key}="${key}"' if key.isidentifier() else f"--env {shlex.quote(key)}=" for key in value]
        elif name == "freeze":
            words.append("--no-freeze")
        elif name in ("script", "stdin"):
            text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
            words.append(f"--{name} <(printf %s {shlex.quote(text)})")
    if spec.kind != "command":
        positional, others = _params(spec)
        words += [f"--{name}={shlex.quote(str(value))}" for name, value in others.items()]
        words += ["--", *(shlex.quote(str(value)) for value in positional)]
    elif isinstance(spec.command, str):
        words += ["--", shlex.quote(spec.command)]
    elif spec.command is not None:
        # A single word after `--` is a text for the shell.
        argv = spec.command if len(spec.command) > 1 else (shlex.join(spec.command),)
        words += ["--", shlex.join(argv)]
    return " ".join(words)


def as_python(spec: JobSpec) -> str:
    """An expression after `from relayq import job` (and `import os`, if it has environment variables)."""
    if spec.kind != "command":
        positional, others = _params(spec)
        first = [*map(repr, positional), *(f"{name}={value!r}" for name, value in others.items())]
        call, skipped = f"job.{spec.kind}", {"kind", "params"}
    else:
        command = spec.command
        first = [repr(list(command) if isinstance(command, tuple) else command)] if command is not None else []
        call, skipped = "job.run", {"kind", "params", "command"}
    options = [f"{name}={_python(name, getattr(spec, name))}" for name in _given(spec) if name not in skipped]
    return f"{call}({', '.join([*first, *options])})"


def _params(spec: JobSpec) -> tuple[list[Any], dict[str, Any]]:
    """What stands without a name, and what with one."""
    first = _POSITIONAL.get(spec.kind, ())
    others = {name: value for name, value in spec.params.items() if name not in first and value is not None}
    return [spec.params.get(name) for name in first], others


def _given(spec: JobSpec) -> list[str]:
    """Fields that differ from their defaults."""
    return [f.name for f in fields(JobSpec) if getattr(spec, f.name) != getattr(_DEFAULTS, f.name)]


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _python(name: str, value: Any) -> str:
    if name == "env":
        return "{" + ", ".join(f"{key!r}: os.environ[{key!r}]" for key in value) + "}"
    if isinstance(value, tuple):
        return repr(list(value))
    return repr(str(value)) if name == "on_lost" else repr(value)
