"""A question with yes and no, before the view."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static


class Question(ModalScreen[bool]):
    """Answers whether it was yes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape,q", "answer(False)", "No"),
    ]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """The question, and the keys."""
        with Vertical(id="question"):
            yield Static(self._text, markup=False)
            yield Static("y: yes   n: no")

    def action_answer(self, yes: bool) -> None:
        """Go back with it."""
        self.dismiss(yes)
