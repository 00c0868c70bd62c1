"""What is looked for, as words: for SQLite's full-text index, and for single texts by the same rules."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_WORD = re.compile(r"[^\W_]+")


def match_expression(asked: str | None) -> str | None:
    """What FTS5 is asked: every word, or its beginning, somewhere; None if there is no word in it."""
    quoted = [word.replace('"', '""') for word in (asked or "").split() if _WORD.search(word)]
    return " AND ".join(f'"{word}"*' for word in quoted) or None


def occur(asked: str, text: str) -> bool:
    """Whether FTS5 would find the text: each word asked for (`a.mov` is two in a row) begins somewhere."""
    there = _split(text)
    return all(_begins(_split(word), there) for word in asked.split() if _WORD.search(word))


def _begins(phrase: Sequence[str], there: Sequence[str]) -> bool:
    *whole, last = phrase
    for at in range(len(there) - len(phrase) + 1):
        end = at + len(whole)
        if there[at:end] == whole and there[end].startswith(last):
            return True
    return False


def _split(text: str) -> list[str]:
    """Words as the tokenizer unicode61 has them: no case, no accents."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return _WORD.findall(plain.casefold())
