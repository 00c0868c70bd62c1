"""What a check finds, and what a check is: a name and a function that looks, and never raises."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from relayq.doctor.context import Context
    from relayq.effects import Effects

Level = Literal["ok", "warning", "problem"]
Fix = Callable[["Effects"], object]


@dataclass(frozen=True)
class Finding:
    """One fact, as one sentence, and how to mend it if it is to be mended."""

    check: str
    level: Level
    sentence: str
    mend: str | None = None  #: the command
    fix: Fix | None = field(default=None, repr=False, compare=False)  #: does the same, if that is safe


def ok(sentence: str, mend: str | None = None) -> Finding:
    """As it should be; `mend` is then a hint: what could be better."""
    return Finding("", "ok", sentence, mend)


def warning(sentence: str, mend: str | None = None, fix: Fix | None = None) -> Finding:
    """It works, and will not always."""
    return Finding("", "warning", sentence, mend, fix)


def problem(sentence: str, mend: str | None = None, fix: Fix | None = None) -> Finding:
    """It does not work, or jobs are in danger."""
    return Finding("", "problem", sentence, mend, fix)


@dataclass(frozen=True)
class Check:
    """A question to this machine. Its name is a heading of TROUBLESHOOTING.md."""

    name: str
    examine: Callable[[Context], Iterable[Finding]]

    def __call__(self, context: Context) -> list[Finding]:
        """What it finds; nothing if the question does not arise here."""
        found = []
        try:
            for finding in self.examine(context):
                found.append(replace(finding, check=self.name))
        except Exception as error:  # noqa: BLE001 - whatever it is, the other checks are to be heard
            found.append(self.silent(f"this could not be looked at: {type(error).__name__}: {error}"))
        return found

    def silent(self, sentence: str) -> Finding:
        """That it has no answer."""
        return Finding(self.name, "warning", " ".join(sentence.split()))


def check(name: str) -> Callable[[Callable[[Context], Iterable[Finding]]], Check]:
    """Makes a function a check of that name."""
    return lambda examine: Check(name, examine)
