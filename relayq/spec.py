"""What may be asked: turns the arguments of `run` into a JobSpec, or says what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from relayq import params
from relayq.errors import BadSpec
from relayq.model import JobSpec, OnLost
from relayq.placement import check_names

#: Bytes of one argument: Linux refuses longer ones (MAX_ARG_STRLEN), so a `/bin/sh -c` text ends here as well.
MAX_ARGUMENT_BYTES = 128 * 1024 - 1
MAX_SPEC_BYTES = 4 << 20  #: bytes of script, stdin, environment and arguments together
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LAST = "last"  #: instead of an id: the newest job
KINDS = ("command", *params.CHECKS)


def make_spec(command: Any = None, **options: Any) -> JobSpec:
    """The spec for `command` (a str for `/bin/sh -c`, or a list: the exact argv) with JobSpec's other fields.

    What a kind other than command needs of its machine is added.

    Raises BadSpec with one sentence that says what to change.
    """
    unknown = options.keys() - JobSpec.__dataclass_fields__.keys()
    if unknown:
        raise BadSpec(f"a job has no option called {sorted(unknown)[0]!r}; see the fields of JobSpec")
    given = {name: value for name, value in options.items() if value is not None}
    if isinstance(command, (list, tuple)):
        command = tuple(command)
    for name in ("needs", "prefer"):
        if name in given:
            given[name] = _words(name, given[name])
    if "env" in given:
        given["env"] = _environment(given["env"])
    if isinstance(given.get("stdin"), str):
        given["stdin"] = _encoded(given["stdin"])
    if "on_lost" in given:
        given["on_lost"] = _on_lost(given["on_lost"])
    if isinstance(given.get("params"), Mapping):
        given["params"] = {name: value for name, value in given["params"].items() if value is not None}
    if given.get("kind") == "transcribe":
        given.setdefault("max_output_bytes", params.TRANSCRIPT_BYTES)
    spec = JobSpec(command=command, **given)
    check(spec)
    own = [need for need in params.needs(spec.kind, spec.params) if need not in spec.needs]
    prefer = spec.prefer if "prefer" in given else params.preferred(spec.kind, spec.params)
    return replace(spec, needs=(*spec.needs, *own), prefer=prefer) if own or prefer else spec


def check(spec: JobSpec) -> None:
    """Raise BadSpec if no machine could do this."""
    if spec.kind not in KINDS:
        raise BadSpec(f"there is no kind of job called {spec.kind!r}; there are: {', '.join(KINDS)}")
    if spec.kind == "command":
        _check_command(spec)
    else:
        params.CHECKS[spec.kind](spec.params)
    for name in ("cwd", "name", "on", "script"):
        _check_type(name, getattr(spec, name), (str, type(None)), "a str")
        _check_text(name, getattr(spec, name) or "")
    _check_type("stdin", spec.stdin, (bytes, type(None)), "bytes or a str")
    _check_numbers(spec)
    check_names(spec)
    if _size(spec) > MAX_SPEC_BYTES:
        raise BadSpec(
            f"the job is too big: at most {MAX_SPEC_BYTES >> 20} MiB travel with a job. "
            "Put the data into a file on the worker and name the file"
        )


def check_id(id: Any) -> str:
    """The id, if it can be one."""
    if id == LAST:
        raise BadSpec(f'a job cannot have the id "{LAST}": it stands for the newest job; choose another')
    if not isinstance(id, str) or not ID.fullmatch(id):
        raise BadSpec(f"{id!r} cannot be a job's id: use 1 to 64 letters, digits, '.', '_' and '-'")
    return id


def _check_command(spec: JobSpec) -> None:
    if spec.script is not None:
        if spec.command is not None:
            raise BadSpec("give a command or a script, not both")
        if not spec.script.strip() if isinstance(spec.script, str) else True:
            raise BadSpec(
                "the script is empty: give it something to run"
                if isinstance(spec.script, str)
                else "the script must be a str"
            )
        return
    words: Sequence[Any] = spec.command if isinstance(spec.command, tuple) else (spec.command,)
    for word in words:
        if not isinstance(word, str):
            what = "nothing" if word is None else type(word).__name__
            raise BadSpec(f"a command is a str for the shell, or a list of str; got {what}")
        _check_text("the command", word)
        if len(word.encode()) > MAX_ARGUMENT_BYTES:
            raise BadSpec(
                "a command line is at most 128 KiB: pass a longer text as script= (--script) or stdin= (--stdin)"
            )
    if not words or not words[0].strip():
        raise BadSpec("the command is empty: name something to run, such as: echo hello")


def _check_numbers(spec: JobSpec) -> None:
    for name in ("timeout", "queue_timeout"):
        value = getattr(spec, name)
        _check_type(name, value, (int, float, type(None)), "seconds")
        if value is not None and not 0 < value < 1e10:
            raise BadSpec(f"{name} is {value!r:.40}; it must be more than 0 seconds, and less than 300 years")
    limits = {
        "retries": (0, 100),
        "priority": (-10, 10),
        "max_losses": (1, 100),
        "max_output_bytes": (0, 1 << 30),
    }
    for name, (low, high) in limits.items():
        value = getattr(spec, name)
        _check_type(name, value, (int,), "a whole number")
        if not low <= value <= high:
            raise BadSpec(f"{name} is {value!r:.40}; it must be from {low} to {high}")
    for name in ("retry_delay", "kill_grace"):
        value = getattr(spec, name)
        _check_type(name, value, (int, float), "seconds")
        if not 0 <= value <= 3600:
            raise BadSpec(f"{name} is {value!r:.40}; it must be from 0 to 3600 seconds")
    _check_type("freeze", spec.freeze, (bool,), "True or False", boolean=True)


def _check_type(name: str, value: Any, types: tuple[type, ...], wanted: str, *, boolean: bool = False) -> None:
    if not isinstance(value, types) or (isinstance(value, bool) and not boolean):
        raise BadSpec(f"{name} must be {wanted}; got {type(value).__name__} ({value!r:.40})")


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise BadSpec("stdin is not text: it has characters that are no UTF-8; pass bytes") from None


def _check_text(name: str, text: str) -> None:
    params.check_text(name, text, "pass such data as stdin=")


def _words(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [value]
    words = tuple(value) if isinstance(value, Iterable) else (None,)
    if not all(isinstance(word, str) for word in words):
        raise BadSpec(f"{name} must be a list of labels; got {value!r:.60}")
    return words


def _environment(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise BadSpec(f"env must be a dict of str; got {type(value).__name__}")
    for key, text in value.items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise BadSpec(f"env must be a dict of str; {key!r} is {text!r:.40}")
        if not key or "=" in key:
            raise BadSpec(f"{key!r} cannot be the name of an environment variable")
        _check_text(f"env[{key!r}]", key + text)
    return dict(value)


def _on_lost(value: Any) -> OnLost:
    try:
        return OnLost(value)
    except ValueError:
        raise BadSpec(f"on_lost is {value!r}; it must be one of: {', '.join(OnLost)}") from None


def _size(spec: JobSpec) -> int:
    words = spec.command if isinstance(spec.command, tuple) else (spec.command or "",)
    texts = [*words, spec.script or "", *spec.env.keys(), *spec.env.values()]
    return sum(len(text.encode()) for text in texts) + len(spec.stdin or b"")
