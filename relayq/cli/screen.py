"""What stands on the terminal: data on stdout as a table or JSON, talk on stderr."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import click

from relayq import columns

COLOURS = {
    "queued": "yellow",
    "running": "cyan",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "magenta",
    "online": "green",
    "busy": "cyan",
    "paused": "yellow",
    "offline": "red",
    "lost": "red",
}
NARROWEST = 40


def message(text: str) -> None:
    """One sentence about what goes on, on stderr."""
    try:
        # The rest of the line goes, which may be a bar's. (Elsewhere than on a terminal click leaves that out.)
        click.echo(f"relayq: {plain(text, lines=True)}\x1b[K", err=True)
    except (OSError, ValueError):
        return  # nobody listens; that is no reason to fail


def say(text: str) -> None:
    """Data for people, on stdout."""
    click.echo(plain(text, lines=True))


def say_json(data: Any) -> None:
    """Data for programs, on stdout: one line of JSON."""
    click.echo(json.dumps(data, allow_nan=False))


def say_table(
    rows: Sequence[Sequence[str]],
    colours: str | None = None,
    *,
    struck: str | None = None,
    names: Collection[int] = (),
    wrap: bool = False,
) -> None:
    """Columns that fit the terminal, as `relayq.columns.table`.

    Words of the column `colours` are shown in colour, those of the column `struck` struck out.
    """
    rows = [[plain(cell) for cell in row] for row in rows]
    lines = columns.table(rows, _width(), names=names, wrap=wrap).split("\n")
    column = colours or struck
    start = lines[0].index(column) if column else -1
    for number, line in enumerate(lines):
        styled = _coloured(line, start) if colours else _struck(line, start) if struck and number else line
        click.echo(styled)


def say_pairs(pairs: Mapping[str, str | None]) -> None:
    """Names and values below each other; what is None is left out."""
    shown = {name: value for name, value in pairs.items() if value is not None}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        click.echo(f"{name.ljust(width)}  {plain(value)}")


plain = columns.plain
shorten = columns.shorten


def _width() -> int | None:
    """Of a line: the terminal's, or what COLUMNS says; a program that reads is given all there is (None)."""
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS"):
        return None
    return max(NARROWEST, shutil.get_terminal_size().columns)


def _coloured(line: str, start: int) -> str:
    word = line[start:].split(maxsplit=1)[0] if line[start : start + 1].strip() else ""
    colour = COLOURS.get(word)
    return line[:start] + click.style(word, fg=colour) + line[start + len(word) :] if colour else line


def _struck(line: str, start: int) -> str:
    word = line[start:].split(maxsplit=1)[0] if line[start : start + 1].strip() else ""
    return line[:start] + click.style(word, strikethrough=True) + line[start + len(word) :] if word else line
