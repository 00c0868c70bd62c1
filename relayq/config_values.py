"""One value of a setting, as people write it: read and checked, or written so that it can be read again.

From YAML a value has a type already, from the environment it is text: a reader takes either, and raises
ValueError saying what it takes, as the end of "it must be …".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from relayq.errors import ConfigError, RelayqError

NAME_RULE = "1 to 64 letters, digits, '.', '_' or '-', the first not '.' or '-'"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

_ROUTE_WORD = r"[A-Za-z0-9_][A-Za-z0-9._:-]{0,63}(>=[A-Za-z0-9][A-Za-z0-9._-]{0,31})?"
_SECONDS = {"w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_BYTES = {"T": 1 << 40, "G": 1 << 30, "M": 1 << 20, "K": 1 << 10}


def mask(url: str) -> str:
    """The URL with `***` for its password, fit for logs and screens.

    >>> mask("redis://:secret@nas:6379/0")
    'redis://:***@nas:6379/0'
    """
    # Greedy up to the last "@": a password that was not percent-encoded must not show its second half.
    url = re.sub(r"^((?>(?:[\w+.-]+://)?)[^:/@]*):.*@", r"\1:***@", url, flags=re.DOTALL)
    return re.sub(r"([?&]password=)[^&#]*", r"\1***", url)


def valid_name(name: str, what: str = "a worker's name", error: type[RelayqError] = ConfigError) -> str:
    """The name itself, if it can be one; else `error` is raised with a sentence."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", name):
        raise error(f"{name!r} cannot be {what}: use {NAME_RULE}")
    return name


def text(value: object) -> str:
    """Any text that is not empty, without the white space around it."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError("text; if it looks like a number, a date or a yes/no, put it in quotes")
    return value.strip()


def number(rule: str, low: float, high: float) -> Callable[[object], float]:
    """A reader of numbers from `low` to `high`, both included."""

    def read(value: object) -> float:
        if isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,30}(\.\d{1,30})?", value.strip()):
            value = float(value)
        # Asked this way round, "not a number" is refused too.
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError(rule)
        return float(value)

    return read


def whole(rule: str, low: int, high: int) -> Callable[[object], int]:
    """A reader of whole numbers from `low` to `high`, both included."""

    def read(value: object) -> int:
        found = number(rule, low, high)(value)
        if found != int(found):
            raise ValueError(rule)
        return int(found)

    return read


def one_of(*words: str) -> Callable[[object], str]:
    """A reader of one of these words."""

    def read(value: object) -> str:
        if not isinstance(value, str) or value.strip() not in words:
            raise ValueError("one of " + ", ".join(words))
        return value.strip()

    return read


def duration(value: object) -> float:
    """Seconds: of 30, "30", "500ms", "2h", "1h30m", "7d"."""
    if isinstance(value, str) and re.fullmatch(r"(\d{1,12}(\.\d{1,9})?(ms|[wdhms]))+", value.strip()):
        parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[wdhms])", value)
        value = sum(float(amount) * _SECONDS[unit] for amount, unit in parts)
    return number("a duration, such as 30, 15s, 2h or 7d", 0, 1e10)(value)


def positive_duration(value: object) -> float:
    """Seconds, more than none."""
    seconds = duration(value)
    if not seconds:
        raise ValueError("a duration above 0, such as 15s")
    return seconds


def size(value: object) -> int:
    """Bytes: of 65536, "65536", "64K", "256M", "256 MiB", "1G"; all in steps of 1024."""
    if isinstance(value, str):
        found = re.fullmatch(r"(\d{1,12}(?:\.\d{1,9})?) ?([KMGT])(i?B)?", value.strip(), re.IGNORECASE)
        if found:
            value = int(float(found[1]) * _BYTES[found[2].upper()])
    return whole("a size in bytes, or such as 64K, 256M or 1G", 0, 1 << 50)(value)


def worker_name(value: object) -> str:
    """What a worker may be called."""
    try:
        return valid_name(text(value))
    except ConfigError:
        raise ValueError(NAME_RULE) from None


def labels(value: object) -> tuple[str, ...]:
    """Labels of a list, or of text with commas, each once."""
    words = value.split(",") if isinstance(value, str) else value
    rule = "a list of labels, or labels with commas between them, made of letters, digits and . _ - : < > ="
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError(rule)
    found = [word.strip() for word in words if word.strip()]
    if not all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._:<>=-]{0,63}", label) for label in found):
        raise ValueError(rule)
    return tuple(dict.fromkeys(found))


def routes(value: object) -> dict[str, tuple[str, ...]]:
    """Patterns of commands, each with what its machine should have: a dict, or text: `ffmpeg=ffmpeg+heavy; sox=`."""
    rule = "patterns of commands with words, such as ffmpeg: [ffmpeg, heavy], or ffmpeg=ffmpeg+heavy; sox= in a text"
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split(";") if part.strip()]
        if not all(equals for _, equals, _ in pairs):
            raise ValueError(rule)
        value = {pattern: [word for word in words.split("+") if word.strip()] for pattern, _, words in pairs}
    if not isinstance(value, dict):
        raise ValueError(rule)
    found = {}
    for pattern, words in value.items():
        listed = [words] if isinstance(words, str) else [] if words is None else words
        if not isinstance(pattern, str) or not pattern.strip() or not isinstance(listed, list):
            raise ValueError(rule)
        if not all(isinstance(word, str) and re.fullmatch(_ROUTE_WORD, word.strip()) for word in listed):
            raise ValueError(rule)
        found[pattern.strip()] = tuple(dict.fromkeys(word.strip() for word in listed))
    return found


def log_level(value: object) -> str:
    """A level of `logging`, in capitals."""
    word = value.strip().upper() if isinstance(value, str) else value
    return one_of(*LEVELS)("WARNING" if word == "WARN" else word)


def broker_url(value: object) -> str:
    """The URL of a Redis, as redis-py reads it."""
    rule = "a URL such as redis://:PASSWORD@HOST:6379/0 (in a password, write / as %2F, @ as %40, : as %3A, # as %23)"
    url = text(value)
    try:
        parts = urlsplit(url)
        there = bool(parts.path) if parts.scheme == "unix" else bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ValueError(rule) from None
    database = parts.scheme == "unix" or re.fullmatch(r"(/\d*)?", parts.path)
    if parts.scheme not in {"redis", "rediss", "unix"} or not there or not database or re.search(r"\s", url):
        raise ValueError(rule)
    return url


def http_url(value: object) -> str:
    """Where a server answers, without a path."""
    rule = "a URL such as http://100.64.0.1:7117"
    url = text(value).rstrip("/")
    try:
        parts = urlsplit(url)
        there = parts.hostname and parts.port != 0
    except ValueError:
        raise ValueError(rule) from None
    if parts.scheme not in {"http", "https"} or not there or parts.path or re.search(r"[\s?#]", url):
        raise ValueError(rule)
    return url


def host(value: object) -> str:
    """A host's name or address; an IPv6 address without its brackets."""
    name = text(value)
    if not re.fullmatch(r"[\w.-]+|\[?[0-9A-Fa-f:.]+(%\w+)?\]?", name):
        raise ValueError("a host name or an address; a whole URL belongs into broker.url")
    return name.strip("[]")


def in_time(seconds: float) -> str:
    """A duration, as `duration` reads it."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{seconds:.10g}s"


def in_routes(found: Mapping[str, tuple[str, ...]]) -> str:
    """Routes, as `routes` reads them from a text."""
    return "; ".join(f"{pattern}={'+'.join(words)}" for pattern, words in found.items())


def in_bytes(count: int) -> str:
    """A size, as `size` reads it."""
    fitting = (f"{count // step}{unit}" for unit, step in _BYTES.items() if count and count % step == 0)
    return next(fitting, str(count))
