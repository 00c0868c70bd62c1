"""What this machine was told: defaults, then RELAYQ_HOME/config.yml, then the environment. Connects to nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from relayq import config_values as values
from relayq.config_values import mask, valid_name
from relayq.errors import ConfigError

__all__ = ["SETTINGS", "Setting", "Settings", "broker_url_file", "load", "mask", "row", "rows", "valid_name"]

NOT_SET = "not set"
DEFAULT_PORT = 6379
NICE_OF_LOW_PRIORITY = 10  #: what the 1.x installer gave a Raspberry Pi's worker


def _host_name() -> str:
    short = re.sub(r"[^A-Za-z0-9._-]", "-", os.uname().nodename.split(".")[0])
    return short.lstrip(".-")[:64] or "worker"


def _cpu_count() -> int:
    # A container or a pinned service may own fewer processors than the machine has.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _default_home() -> Path:
    return Path.home() / ".relayq"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set on a machine. Made by `load`; tests and programs may make their own.

    The environment variable of a field is `RELAYQ_` and its name in capitals: `RELAYQ_SLOTS`. One that is
    empty counts as not set. Durations are seconds, or numbers with a unit: `15s`, `500ms`, `2h`, `1h30m`,
    `7d`. Sizes are bytes, or `64K`, `256M`, `1G`, in steps of 1024.
    """

    #: The folder where relayq keeps what it must remember on this machine. Only RELAYQ_HOME sets it.
    home: Path = field(default_factory=_default_home)
    #: The Redis that all nodes share: `redis://:PASSWORD@HOST:PORT/DB`, also `rediss://` and `unix://`.
    #: In the file either `broker.url`, or `host` with `port`, `db`, `username` and `password`. If nothing
    #: is set, the broker that `relayq up` started on this machine.
    broker_url: str | None = field(default=None, repr=False)
    #: The same Redis for whoever administers it (tokens, machines, backups); on the broker's machine only.
    admin_url: str | None = field(default=None, repr=False)
    #: Where the server answers: `http://HOST:PORT`. Upgrades and joining come from there.
    server_url: str | None = None
    #: The port on which the server of this machine answers.
    server_port: int = 7117
    #: What this machine's worker is called: 1 to 64 letters, digits, `.`, `_` or `-`. By default the host's
    #: name up to its first dot.
    worker_name: str = field(default_factory=_host_name)
    #: How many jobs the worker runs at once. By default one for each processor. In the file
    #: `worker.slots`, or `worker.max_concurrent` as in 1.x.
    slots: int = field(default_factory=_cpu_count)
    #: Words that jobs may ask for with `needs`: a list, or text with commas. The file's `worker.priority`,
    #: known from 1.x, adds one: `low` adds `light`, `high` adds `heavy`, `normal` adds none.
    labels: tuple[str, ...] = ()
    #: Programs the worker looks for on its PATH, beside those it knows, so that jobs may ask for them with `needs`.
    programs: tuple[str, ...] = ()
    #: Percent of the machine's processors that others than relayq's jobs may use before the worker takes nothing new;
    #: it goes on 10 below that. Not set: no such limit.
    cpu_threshold: float | None = None
    #: How much the worker's jobs give way to other programs, −20 to 19; below 0 needs root.
    #: The file's `worker.priority: low`, known from 1.x, means 10.
    nice: int | None = None
    #: Which commands go to which machines if a job does not say: a group of the file, `PATTERN: [WORD, …]`, where the
    #: pattern stands for a command's first word and the words are what its machine should have, programs or labels.
    #: They come before the rules that relayq ships; `PATTERN: []` takes a rule away. In the environment
    #: `PATTERN=WORD+WORD; PATTERN=`.
    routes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: How long a submission keeps trying while the broker does not answer.
    submit_patience: float = 30.0
    #: The shortest term of a lease: a machine that is silent for so long may lose its young jobs to another.
    lease_floor: float = 15.0
    #: How long an ended job and its output are kept.
    keep: float = 7 * 86400.0
    #: How much output of all jobs together is kept; the oldest ended job's goes first.
    output_budget_bytes: int = 256 << 20
    #: DEBUG, INFO, WARNING, ERROR or CRITICAL.
    log_level: str = "INFO"
    #: Where the worker writes its log; a relative path starts in the home folder. At 5 MiB a new file begins, and two
    #: older ones stay beside it. Not set: standard error, or `worker.log` in the home folder for `relayq up`.
    log_file: Path | None = None
    #: Where each value came from, in words, by field name. What is missing here is a default.
    sources: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def broker_source(self) -> str:
        """Where the broker's URL came from, in words that can follow "from"."""
        return self.sources.get("broker_url", "the program" if self.broker_url else "nowhere")


def load(env: Mapping[str, str] | None = None) -> Settings:
    """The settings of this machine: defaults < config.yml < environment (`os.environ` by default).

    Raises ConfigError for an unknown key, a value of the wrong kind or a file that cannot be read.
    """
    env = os.environ if env is None else env
    home = _path("RELAYQ_HOME", env.get("RELAYQ_HOME") or "~/.relayq", env)
    given: dict[str, Any] = {"home": home}
    sources = {"home": "RELAYQ_HOME"} if env.get("RELAYQ_HOME") else {}
    for name, value, source in (*_from_file(home / "config.yml"), *_from_environment(env)):
        given[name], sources[name] = value, source
    file = broker_url_file(home)
    if "broker_url" not in given and (started := _read(file).strip()):
        given["broker_url"] = _checked(values.broker_url, started, str(file), secret=True)
        sources["broker_url"] = f"the broker started by `relayq up` ({file})"
    if "log_file" in given:
        given["log_file"] = _path("logging.file", given["log_file"], env, home)
    return Settings(**given, sources=sources)


def broker_url_file(home: Path) -> Path:
    """Where a broker started by `relayq up` leaves its URL, password included, while it serves."""
    return home / "broker" / "url"


def rows(settings: Settings, secrets: bool = False) -> list[tuple[str, str, str]]:
    """(key, value, source) of every setting, for people; the broker's password only if `secrets`."""
    listed = [("home", str(settings.home), settings.sources.get("home", "default"))]
    for setting in SETTINGS:
        value = getattr(settings, setting.field)
        text = NOT_SET if value is None or value in ((), {}) else setting.write(value)
        if setting.secret and not secrets:
            text = mask(text)
        listed.append((setting.key, text, settings.sources.get(setting.field, "default")))
    return listed


def row(settings: Settings, key: str, secrets: bool = False) -> tuple[str, str]:
    """(value, source) of one setting. Raises ConfigError for a key there is not, with the one that was meant."""
    listed = {known: (text, source) for known, text, source in rows(settings, secrets)}
    key = {"worker.slots": "worker.max_concurrent"}.get(key, key)
    if key not in listed:
        raise ConfigError(_no_such_setting(key, listed, listed))
    return listed[key]


@dataclass(frozen=True)
class Setting:
    """How a field of `Settings` is called in the file, how it is read and how it is written."""

    field: str
    key: str
    read: Callable[[object], Any]
    write: Callable[[Any], str] = str
    secret: bool = False

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return f"RELAYQ_{self.field.upper()}"


SETTINGS = (
    Setting("broker_url", "broker.url", values.broker_url, secret=True),
    Setting("admin_url", "broker.admin_url", values.broker_url, secret=True),
    Setting("server_url", "server.url", values.http_url),
    Setting("server_port", "server.port", values.whole("a port number, 1 to 65535", 1, 65535)),
    Setting("worker_name", "worker.name", values.worker_name),
    Setting("slots", "worker.max_concurrent", values.whole("a whole number from 1 to 1024", 1, 1024)),
    Setting("labels", "worker.labels", values.labels, ", ".join),
    Setting("programs", "worker.programs", values.labels, ", ".join),
    Setting("cpu_threshold", "worker.cpu_threshold", values.number("percent, from 1 to 100", 1, 100), "{:g}".format),
    Setting("nice", "worker.nice", values.whole("a whole number from -20 to 19", -20, 19)),
    Setting("routes", "routes", values.routes, values.in_routes),
    Setting("submit_patience", "jobs.submit_patience", values.duration, values.in_time),
    Setting("lease_floor", "jobs.lease_floor", values.positive_duration, values.in_time),
    Setting("keep", "jobs.keep", values.duration, values.in_time),
    Setting("output_budget_bytes", "jobs.output_budget", values.size, values.in_bytes),
    Setting("log_level", "logging.level", values.log_level),
    Setting("log_file", "logging.file", values.text),
)
_FILE_ONLY: dict[str, Callable[[object], Any]] = {
    "broker.host": values.host,
    "broker.port": values.whole("a port number, 1 to 65535", 1, 65535),
    "broker.db": values.whole("a whole number, 0 or more", 0, 1 << 20),
    "broker.username": values.text,
    "broker.password": values.text,
    "worker.slots": values.whole("a whole number from 1 to 1024", 1, 1024),
    "worker.priority": values.one_of("low", "normal", "high"),
}
_READERS = {setting.key: setting.read for setting in SETTINGS} | _FILE_ONLY

_Found = tuple[str, Any, str]  #: field, value, source


def _from_environment(env: Mapping[str, str]) -> Iterator[_Found]:
    for setting in SETTINGS:
        text = env.get(setting.variable, "").strip()
        if not _is_text(text):
            raise ConfigError(f"{setting.variable} is not text in UTF-8; set it to something that is")
        if text:
            value = _checked(setting.read, text, setting.variable, secret=setting.secret)
            yield setting.field, value, setting.variable


def _from_file(file: Path) -> Iterator[_Found]:
    given = _flat(file, _parsed(file))
    known = {
        key: _checked(
            _READERS[key], value, f"{file}: {key}", secret=key in {"broker.url", "broker.admin_url", "broker.password"}
        )
        for key, value in given.items()
        if value is not None
    }
    for one, other in (("broker.url", "broker.host"), ("worker.slots", "worker.max_concurrent")):
        if one in known and other in known:
            raise ConfigError(f"{file}: {one} and {other} say the same thing: keep one of them")
    address = {key: value for key, value in known.items() if key in _FILE_ONLY and key.startswith("broker.")}
    address = {key: value for key, value in address.items() if key != "broker.admin_url"}
    if address and "broker.url" in known:
        raise ConfigError(f"{file}: broker.url says it all: write {', '.join(address)} into it")
    if address:
        yield "broker_url", _composed(address), f"{file} ({', '.join(address)})"
    if "worker.slots" in known:
        yield "slots", known["worker.slots"], f"{file} (worker.slots)"
    priority = f"{file} (worker.priority)"
    extra = {"low": ("light",), "high": ("heavy",)}.get(known.get("worker.priority", ""), ())
    if extra:
        yield "labels", extra, priority
    if known.get("worker.priority") == "low":
        yield "nice", NICE_OF_LOW_PRIORITY, priority
    for setting in SETTINGS:
        if setting.key in known:
            value = known[setting.key]
            if setting.field == "labels":
                value = tuple(dict.fromkeys((*value, *extra)))
            yield setting.field, value, f"{file} ({setting.key})"


def _composed(address: Mapping[str, Any]) -> str:
    host = str(address.get("broker.host", "127.0.0.1"))
    user, password = (quote(address.get(f"broker.{key}", ""), safe="") for key in ("username", "password"))
    login = f"{user}:{password}@" if password else f"{user}@" if user else ""
    place = f"[{host}]" if ":" in host else host
    return f"redis://{login}{place}:{address.get('broker.port', DEFAULT_PORT)}/{address.get('broker.db', 0)}"


def _checked(read: Callable[[object], Any], value: object, where: str, *, secret: bool = False) -> Any:
    try:
        return read(value)
    except ValueError as error:
        shown = "not right" if secret else _shown(value)
        raise ConfigError(f"{where} is {shown}; it must be {error}") from None


def _shown(value: object) -> str:
    # A URL, and the password in it, may stand in the wrong place.
    if isinstance(value, str):
        return repr(mask(value))
    return repr(value) if isinstance(value, int | float) else f"a {type(value).__name__}"


def _flat(file: Path, tree: object) -> dict[str, object]:
    """`{"worker.name": …}` of a file's groups, with every key known."""
    groups = {key.partition(".")[0]: None for key in _READERS}
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{file} must hold the groups {', '.join(groups)}, not {type(tree).__name__}")
    flat: dict[str, object] = {}
    for group, content in tree.items():
        if group not in groups:
            raise ConfigError(_unknown(file, str(group), groups))
        if group in _READERS:  # a group whose keys are the user's own
            flat[group] = content
            continue
        if content is not None and not isinstance(content, dict):
            raise ConfigError(
                f"{file}: {group} is {_shown(content)}; it must be a group of keys, such as {_example(group)}"
            )
        for key, value in (content or {}).items():
            if f"{group}.{key}" not in _READERS:
                raise ConfigError(_unknown(file, f"{group}.{key}", _READERS))
            flat[f"{group}.{key}"] = value
    return flat


def _example(group: object) -> str:
    return next(key for key in _READERS if key.startswith(f"{group}."))


def _unknown(file: Path, key: str, known: Collection[str]) -> str:
    return f"{file}: {_no_such_setting(key, known, _READERS)}"


def _no_such_setting(key: str, known: Collection[str], every: Collection[str]) -> str:
    from difflib import get_close_matches

    group, _, last = key.rpartition(".")
    near = [name for name in known if name.startswith(f"{group}.")] if group else list(known)
    meant = None
    for candidates in (near, every if group else ()):
        words = {name.rpartition(".")[2]: name for name in reversed(list(candidates))}
        close = get_close_matches(last, words, 1)
        meant = meant or (words[close[0]] if close else None)
    hint = f'did you mean "{meant}"?' if meant else "there are: " + ", ".join(near or every)
    return f'there is no setting "{key}"; {hint}'


def _parsed(file: Path) -> object:
    text = _read(file)
    if not text.strip():
        return None
    import yaml

    try:
        return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 (both are safe loaders)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        # libyaml puts what is missing at the end one line below the last.
        line = f", line {min(mark.line + 1, len(text.splitlines()))}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or error
        raise ConfigError(f"{file}{line} is not valid YAML: {problem}. Correct it or move it away") from None


def _read(file: Path) -> str:
    """The file's text; empty if there is none."""
    try:
        return file.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is not text in UTF-8: write it anew or move it away") from None
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}. Give {_user()} the right to read it") from None


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def _path(where: str, text: str, env: Mapping[str, str], base: Path | None = None) -> Path:
    if env.get("HOME") and (text == "~" or text.startswith("~/")):
        text = env["HOME"] + text[1:]
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        raise ConfigError(f"{text} names no folder: there is no such user. Write the whole path") from None
    path = path if path.is_absolute() else (base or Path.cwd()) / path
    if not _is_text(str(path)):  # it stands in logs, records and the supervisor's words
        raise ConfigError(f"{where} is {str(path)!a}, which is not text in UTF-8; set it to a path that is")
    return path


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
