"""What a job may need of a machine, word by word, and whether a machine has it; pure.

ffmpeg               a label, or something found there that works
encoder:libx264      something found there; also arch:arm64, os:linux
memory>=4G           a fact that is big enough: cores, memory, disk, disk_free
ffmpeg>=6.1          something found there, of that version or a later one
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from relayq import config_values
from relayq.model import WorkerInfo

WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:<>=-]{0,63}")
AT_LEAST = re.compile(r"([A-Za-z0-9_][A-Za-z0-9._:-]*)>=([A-Za-z0-9][A-Za-z0-9._-]*)")
SIZES = frozenset({"memory", "disk", "disk_free"})  #: facts in bytes
COUNTS = frozenset({"cores"})

RULE = "use letters, digits and . _ - :, or NAME>=VALUE such as memory>=4G, cores>=4 and ffmpeg>=6.1"


def trouble(word: str) -> str | None:
    """What is wrong with a word, as the end of a sentence; None if it can be asked for."""
    if not WORD.fullmatch(word):
        return f"cannot be a label or capability: {RULE}"
    if not re.search("[<>=]", word):
        return None
    found = AT_LEAST.fullmatch(word)
    if found is None:
        return f"is no requirement: of a value only >= may be asked; {RULE}"
    name, value = found.groups()
    if name in SIZES and _size(value) is None:
        return f"is no requirement: {value} is no size; write such as {name}>=4G"
    if name in COUNTS and not value.isdecimal():
        return f"is no requirement: {value} is no number; write such as {name}>=4"
    if name not in SIZES | COUNTS and version(value) is None:
        return f"is no requirement: {value} is no version; write such as {name}>=6.1"
    return None


def has(info: WorkerInfo, word: str) -> bool:
    """Whether a machine has what this word asks for."""
    found = AT_LEAST.fullmatch(word)
    if found is None or word in info.labels:
        return word in info.labels or word in info.capabilities
    name, wanted = found.groups()
    if name in SIZES | COUNTS:
        least, there = _least(name, wanted), info.facts.get(name)
        return least is not None and isinstance(there, int) and there >= least
    least_version = version(wanted)
    return least_version is not None and any(
        each.works and each.name == name and (version(each.version or "") or ()) >= least_version for each in info.found
    )


def missing(info: WorkerInfo, words: Iterable[str]) -> str | None:
    """What a machine lacks of all this, as the end of a sentence; None if it lacks nothing."""
    lacked = [word for word in words if not has(info, word)]
    parts = [short for word in lacked if (short := _falls_short(info, word)) is not None]
    plain = [_named(info, word) for word in lacked if _falls_short(info, word) is None]
    if plain:
        parts.insert(0, f"lacks {listed(plain)}")
    return " and ".join(parts) or None


def spoken(word: str) -> str:
    """A word for people: `"heavy"`, `encoder libx264`, `memory>=4G`."""
    if ":" in word and ">=" not in word:
        return word.replace(":", " ", 1)
    return word if ">=" in word else f'"{word}"'


def listed(parts: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    each = list(parts)
    return each[0] if len(each) == 1 else ", ".join(each[:-1]) + " and " + each[-1]


def version(text: str) -> tuple[int, ...] | None:
    """The numbers that a version begins with.

    >>> version("5.1.9-0+deb12u1")
    (5, 1, 9)
    """
    found = re.match(r"[vn]?(\d{1,9}(?:\.\d{1,9})*)", text)
    return tuple(int(part) for part in found[1].split(".")) if found else None


def _falls_short(info: WorkerInfo, word: str) -> str | None:
    """What a machine has too little of, or too old."""
    if (found := AT_LEAST.fullmatch(word)) is None:
        return None
    name, wanted = found.groups()
    there = info.facts.get(name)
    if name in SIZES and isinstance(there, int):
        return f"has {there / (1 << 30):.3g}G {name.replace('_', ' ')}, less than {wanted}"
    if name in COUNTS and isinstance(there, int):
        return f"has {there} {name}, fewer than {wanted}"
    each = next((each for each in info.found if each.name == name and each.works), None)
    if each is None:
        return None
    return f"has {name} {each.version}, older than {wanted}" if each.version else f"has {name} of an unknown version"


def _named(info: WorkerInfo, word: str) -> str:
    """What is lacking, with the reason if it is there and does not work."""
    broken = next((each for each in info.found if each.name == word and not each.works), None)
    return f"{spoken(word)} ({broken.why_not})" if broken and broken.why_not else spoken(word)


def _least(name: str, wanted: str) -> int | None:
    return _size(wanted) if name in SIZES else int(wanted) if wanted.isdecimal() else None


def _size(text: str) -> int | None:
    try:
        return config_values.size(text)
    except ValueError:
        return None
