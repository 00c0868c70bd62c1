"""Text in columns."""

from __future__ import annotations

from relayq.columns import table

HEAD = ("WORKER", "STATE", "LABELS")


def test_names_are_whole_where_there_is_room() -> None:
    """The width decides, and nothing else."""
    name = "transcoder-in-the-cellar-1"
    text = table([HEAD, (name, "online", "heavy")], 60, names=(0,))
    assert text.splitlines()[1] == f"{name}  online  heavy"


def test_a_name_gives_way_before_the_last_column_is_lost() -> None:
    """Who cannot see what a machine offers learns nothing from the table."""
    text = table([HEAD, ("m" * 60, "online", "heavy mac"), ("pi", "busy", "rpi")], 60, names=(0,))
    assert text.splitlines()[1] == "m" * 40 + "…  online  heavy mac"
    assert max(map(len, text.splitlines())) == 60


def test_two_names_never_look_the_same() -> None:
    """They differ in their last letter: then the line is too long, for it must not lie."""
    names = [f"{'m' * 50}-{n}" for n in (1, 2)]
    text = table([HEAD, *((name, "online", "heavy") for name in names)], 40, names=(0,))
    assert [line.split()[0] for line in text.splitlines()[1:]] == names


def test_columns_that_are_no_names_are_never_cut() -> None:
    """Half a time of day is a wrong one."""
    rows = [("ID", "SUBMITTED", "WHAT"), ("a" * 43, "2027-01-15 08:00", "x" * 99)]
    [_, line] = table(rows, 60, names=(0,)).splitlines()
    assert line.split()[1:3] == ["2027-01-15", "08:00"]
    assert len(line) == 60
    assert line.endswith("x…")


def test_words_are_broken_nowhere_if_they_wrap() -> None:
    """A label that is cut in the middle is another label."""
    labels = "with-a-graphics-card with-a-scanner with-much-memory heavy"
    text = table([HEAD, ("mac-mini", "online", labels)], 44, names=(0,), wrap=True)
    assert max(map(len, text.splitlines())) <= 44
    assert " ".join(line[18:] for line in text.splitlines()[1:]).split() == labels.split()
    assert all(line[:18].isspace() for line in text.splitlines()[2:])
    whole = table([HEAD, ("mac-mini", "online", "x" * 64)], 44, names=(0,), wrap=True)
    assert whole.splitlines()[1].endswith("x" * 64)


def test_without_a_width_nothing_is_cut() -> None:
    """A program reads it."""
    row = ("m" * 64, "online", "word " * 50 + "end")
    assert table([HEAD, row], None, names=(0,), wrap=True).splitlines()[1].endswith("end")
