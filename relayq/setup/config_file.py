"""Sets some keys of a config.yml and leaves every other line of it as its owner wrote it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from relayq.effects import Effects
from relayq.errors import SetupError
from relayq.setup.shared_files import write_over

Groups = Mapping[str, Mapping[str, Any]]
HEAD = "# relayq's settings on this machine; all of them: relayq config show\n"


def write(
    effects: Effects,
    path: Path,
    groups: Groups,
    *,
    replace: Collection[str] = (),
    mode: int = 0o600,
    owner: str | None = None,
) -> bool:
    """Set these keys in the file; True if something changed. Groups in `replace` get these keys and no others.

    The first time, a file that was there before is kept beside it, as `config.yml.before-relayq`.
    """
    try:
        old = path.read_text("utf-8")
    except FileNotFoundError:
        old = ""
    except (OSError, UnicodeDecodeError) as error:
        if effects.dry_run and isinstance(error, PermissionError):
            return False
        raise SetupError(f"{path} cannot be read ({error}): correct it or move it away") from None
    new = changed(old, groups, replace=replace, where=path)
    if new == old:
        return False
    if old and not effects.receipt.knows(path):
        effects.file(path.with_name(f"{path.name}.before-relayq"), old, mode=0o600, owner=owner, secret=True)
    return write_over(effects, path, old, new, mode=mode, owner=owner)


def value(path: Path, group: str, key: str) -> Any:
    """What stands there; None if nothing does, or the file cannot be read."""
    try:
        return (_parsed(path.read_text("utf-8"), path).get(group) or {}).get(key)
    except (OSError, UnicodeDecodeError, AttributeError, SetupError):
        return None


def changed(text: str, groups: Groups, *, replace: Collection[str] = (), where: Path = Path("config.yml")) -> str:
    """The text with these keys set; the same text if they are set already."""
    before = _parsed(text, where)
    wanted = dict(before)
    for group, keys in groups.items():
        wanted[group] = dict(keys) if group in replace else {**(before.get(group) or {}), **keys}
    new = text or HEAD
    for group in groups:
        if wanted[group] != before.get(group):
            new = _with_group(new, group, wanted[group], groups[group], whole=group in replace)
    try:
        as_meant = _parsed(new, where) == wanted
    except SetupError:
        as_meant = False
    # YAML can be written in ways that lines do not follow.
    return new if as_meant else HEAD + _dump(wanted)


def _with_group(text: str, group: str, content: Mapping[str, Any], keys: Mapping[str, Any], *, whole: bool) -> str:
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if re.match(rf"{re.escape(group)}\s*:", line)), None)
    block = _dump({group: dict(content)}).splitlines()
    if start is None:
        return "\n".join([*lines, *block]) + "\n"
    end = next((i for i in range(start + 1, len(lines)) if re.match(r"[^\s#]", lines[i])), len(lines))
    while end > start + 1 and not lines[end - 1].startswith((" ", "\t")):
        end -= 1  # comments and blank lines at the margin belong to what follows
    if not whole and re.fullmatch(rf"{re.escape(group)}\s*:\s*(#.*)?", lines[start]):
        block = [lines[start], *_with_keys(lines[start + 1 : end], keys)]
    return "\n".join([*lines[:start], *block, *lines[end:]]) + "\n"


def _with_keys(lines: list[str], keys: Mapping[str, Any]) -> list[str]:
    indent = next((found[0] for line in lines if (found := re.match(r"\s+(?=[\w])", line))), "  ")
    for key, value in keys.items():
        written = indent + _dump({key: value}).rstrip("\n")
        at = next((i for i, line in enumerate(lines) if re.match(rf"\s+{re.escape(key)}\s*:", line)), None)
        if at is None:
            lines = [*lines, written]
        elif yaml.safe_load(lines[at]) != {key: value}:
            lines = [*lines[:at], written, *lines[at + 1 :]]
    return lines


def _parsed(text: str, where: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text) or {}
    except (yaml.YAMLError, ValueError) as error:
        raise SetupError(f"{where} is not valid YAML ({error}): correct it or move it away") from None
    if not isinstance(found, dict):
        raise SetupError(f"{where} holds no groups of settings: correct it or move it away")
    return found


def _dump(value: Mapping[str, Any], indent: str = "") -> str:
    lines = []
    for key, content in value.items():
        if isinstance(content, dict) and content:
            lines.append(f"{indent}{_inline(key)}:\n{_dump(content, indent + '  ')}")
        else:
            lines.append(f"{indent}{_inline(key)}: {_inline(content)}\n")
    return "".join(lines)


def _inline(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
    return text.removesuffix("...\n").rstrip("\n")
