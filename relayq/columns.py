"""Text in columns that fit a width: names give way without becoming the same, then the last column does."""

from __future__ import annotations

from collections.abc import Collection, Sequence

NAME_WIDTH = 12  #: below that no name is shortened; ids of ours have so many letters
LAST_WIDTH = 24  #: what the last column wants of a narrow line before names are shortened for it
_LEAST_LAST = 8


def table(
    rows: Sequence[Sequence[str]], width: int | None = 80, *, names: Collection[int] = (), wrap: bool = False
) -> str:
    """Columns in lines of at most `width` characters (None: of any length). The first row is the heading.

    Of the columns `names` long cells are shortened, but never so far that two of them look the same: rather a line is
    too long. The last column is cut, or with `wrap` goes on in further lines, broken between words only.
    """
    cells = [list(row) for row in rows]
    last = len(cells[0]) - 1
    widths = [max(len(row[i]) for row in cells) for i in range(last + 1)]
    room = widths[last]
    if width is not None:
        longest = max((len(word) for row in cells for word in row[last].split()), default=0) if wrap else 0
        wanted = min(room, max(LAST_WIDTH, longest))
        least = {i: _least([row[i] for row in cells]) for i in names}
        while sum(widths[:last]) + 2 * last + wanted > width:
            wide = [i for i in names if widths[i] > least[i]]
            if not wide:
                break
            widths[max(wide, key=lambda i: widths[i])] -= 1
        room = max(width - sum(widths[:last]) - 2 * last, longest, _LEAST_LAST)
    lines: list[str] = []
    for row in cells:
        before = [shorten(cell, widths[i]) for i, cell in enumerate(row[:last])]
        for part in _wrapped(row[last], room) if wrap else [shorten(row[last], room)]:
            lines.append("  ".join([*(cell.ljust(w) for cell, w in zip(before, widths, strict=False)), part]).rstrip())
            before = [""] * last
    return "\n".join(lines)


def shorten(text: str, width: int) -> str:
    """At most `width` characters."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def plain(text: str, *, lines: bool = False) -> str:
    """The text without what could steer a terminal: titles and messages come from jobs."""
    return "".join(c if c.isprintable() or (lines and c == "\n") else "?" for c in text)


def _least(cells: Sequence[str]) -> int:
    """How narrow a column of names may be."""
    different, width = len(set(cells)), NAME_WIDTH
    while len({shorten(cell, width) for cell in cells}) < different:
        width += 1
    return width


def _wrapped(text: str, width: int) -> list[str]:
    if len(text) <= width:
        return [text]
    import textwrap

    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
