"""What stands on the terminal: data on stdout as a table or JSON, talk on stderr."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import click

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
        click.echo(f"relayq: {plain(text, lines=True)}", err=True)
    except (OSError, ValueError):
        return  # nobody listens; that is no reason to fail


def say(text: str) -> None:
    """Data for people, on stdout."""
    click.echo(plain(text, lines=True))


def say_json(data: Any) -> None:
    """Data for programs, on stdout: one line of JSON."""
    click.echo(json.dumps(data, allow_nan=False))


def say_table(rows: Sequence[Sequence[str]], colours: str | None = None) -> None:
    """Columns that fit the terminal (80 where there is none); words of the column `colours` in colour."""
    from relayq.monitoring import table

    rows = [[plain(cell) for cell in row] for row in rows]
    width = max(NARROWEST, shutil.get_terminal_size().columns)
    lines = table(rows, width).split("\n")
    start = lines[0].index(colours) if colours else -1
    for line in lines:
        click.echo(_coloured(line, start) if colours else line)


def say_pairs(pairs: Mapping[str, str | None]) -> None:
    """Names and values below each other; what is None is left out."""
    shown = {name: value for name, value in pairs.items() if value is not None}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        click.echo(f"{name.ljust(width)}  {plain(value)}")


def plain(text: str, *, lines: bool = False) -> str:
    """The text without what could steer a terminal: titles and messages come from jobs."""
    return "".join(c if c.isprintable() or (lines and c == "\n") else "?" for c in text)


def shorten(text: str, width: int) -> str:
    """At most `width` characters."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _coloured(line: str, start: int) -> str:
    word = line[start:].split(maxsplit=1)[0] if line[start:].strip() else ""
    colour = COLOURS.get(word)
    return line[:start] + click.style(word, fg=colour) + line[start + len(word) :] if colour else line
