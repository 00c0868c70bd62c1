"""How far a job is: what counts as saying so, in whatever pieces it comes, and what becomes of it on a terminal."""

from __future__ import annotations

import io
import itertools
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayq.cli.bar import Bar, Sieve, drawn
from relayq.cli.screen import message
from relayq.progress import Listener, Progress, line_of, parse


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("::progress 0.42 message", Progress(0.42, "message")),
        ("::progress 42% of it", Progress(0.42, "of it")),
        ("::progress 42 % of it\r\n", Progress(0.42, "of it")),
        ("::progress 5/12 file.mov", Progress(0.4167, "file.mov")),
        ("::progress 0", Progress(0.0)),
        (f"::progress {0.1 + 0.2}", Progress(0.3)),
        (f"::progress {1 / 70000} begun", Progress(0.0, "begun")),
        ("::progress 1", Progress(1.0)),
        ("::progress 120%", Progress(1.0)),
        ("::progress loading the model", Progress(None, "loading the model")),
        ("::progress 3 of 9", Progress(None, "3 of 9")),
        ("::progress 5/0", Progress(None, "5/0")),
        ("::progress nan", Progress(None, "nan")),
        ("::progress 0.5 a\x1b[31mb\x07", Progress(0.5, "a [31mb")),
        ("::progress " + "9" * 900, Progress(None, "9" * 200)),
        ("::progress", None),
        ("::progressing 0.5", None),
        (" ::progress 0.5", None),
        ("say ::progress 0.5", None),
    ],
)
def test_a_line_says_how_far_a_job_is(line: str, said: Progress | None) -> None:
    """A fraction, percent or so many of so many; else words. Never an error, whatever a job prints."""
    assert parse(line.encode()) == said


@given(
    st.one_of(st.none(), st.floats(-1, 2)), st.text(st.characters(codec="utf-8", categories=["L", "Nd"]), max_size=50)
)
def test_what_is_written_is_read_again(fraction: float | None, message: str) -> None:
    """`line_of` and `parse` are each other's inverse, but for bounds and digits."""
    said = parse(line_of(fraction, f"at {message}").encode())
    assert said is not None
    assert said.message == f"at {message}".strip()
    assert said.fraction == (None if fraction is None else pytest.approx(min(1, max(0, fraction)), abs=1e-4))


OUTPUT = (
    b"begin\n::progress 0.1 one\nx::progress 0.2 no\n::progress 0.3 \xc3\xa9\n::prog\n"
    + b"::progress 0.9 " * 200
    + b"\n"
)


@given(st.lists(st.integers(0, len(OUTPUT)), max_size=8))
def test_progress_is_heard_in_whatever_pieces_it_comes(cuts: list[int]) -> None:
    """Also twice, as by a worker that takes an attempt over; the last piece heard counts."""
    places = sorted({0, *cuts, len(OUTPUT)})
    pieces = [(start, OUTPUT[start:end]) for start, end in itertools.pairwise(places)]
    listener = Listener()
    heard = [said for offset, data in [*pieces, *pieces] if (said := listener.hear(1, offset, data))]
    assert heard[-1] == Progress(0.3, "é")
    assert len(heard) <= 2
    assert listener.hear(2, 0, b"::progress 0.5\n") == Progress(0.5)


def test_dropped_bytes_make_no_progress() -> None:
    """What follows a gap may be the end of a longer line."""
    listener = Listener()
    assert listener.hear(1, 0, b"some") is None
    assert listener.hear(1, 1000, b"::progress 0.4 no\n::progress 0.5 yes\n") == Progress(0.5, "yes")
    assert listener.hear(1, 5000, b"::progress 0.9 no\n") is None


@given(st.lists(st.integers(0, len(OUTPUT)), max_size=8))
def test_a_terminal_shows_all_lines_but_those_of_the_bar(cuts: list[int]) -> None:
    """Byte for byte; also a line without an end that only looks like one at first."""
    places = sorted({0, *cuts, len(OUTPUT)})
    sieve = Sieve()
    shown = b"".join(sieve.divide(OUTPUT[start:end])[0] for start, end in itertools.pairwise(places))
    wanted = b"".join(line for line in OUTPUT.splitlines(keepends=True) if parse(line.rstrip(b"\n")) is None)
    assert shown + sieve.end() == wanted
    assert sieve.divide(b"::prog") == (b"", None)
    assert sieve.end() == b"::prog"


class Terminal(io.TextIOWrapper):
    """What can be asked whether it is one."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), write_through=True)
        self.buffer.isatty = lambda: True  # type: ignore[method-assign]

    def isatty(self) -> bool:
        return True


def test_the_bar_stands_below_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes before more is written, does not overwrite a line that has only begun, and leaves nothing behind."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    bar = Bar()
    bar.pass_on(1, b"one\n::progress 0.5 half\ntw", screen.buffer)
    bar.pass_on(1, b"o\n", screen.buffer)
    bar.end()
    half = "\r[##########..........] 50 %, half\x1b[K\r"
    assert screen.buffer.getvalue().decode() == f"one\ntwo\n{half}\r\x1b[K"  # type: ignore[attr-defined]


def test_what_relayq_says_leaves_nothing_of_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written over it, and may be shorter; into a file it goes as it is."""
    screen, file = Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    message("hello")
    assert screen.buffer.getvalue() == b"relayq: hello\x1b[K\n"  # type: ignore[attr-defined]
    monkeypatch.setattr(sys, "stderr", file)
    message("hello")
    assert file.getvalue() == "relayq: hello\n"


def test_the_bar_fits_the_terminal() -> None:
    """A longer one would scroll it with each change."""
    assert drawn(Progress(0.999, "x" * 100), 30) == "[###################.] 99 %, x"
    assert drawn(Progress(None, "loading"), 30) == "loading"
