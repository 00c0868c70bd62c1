"""Output as lines of text."""

from __future__ import annotations

import pytest

from relayq.lines import Lines
from relayq.model import Chunk
from relayq.store.memory import MemoryStore

from .following import FAILED, Hand, Threads


def lines(data: bytes, step: int) -> list[str]:
    """The lines of output that comes in pieces of so many bytes."""
    of = Lines()
    got = []
    for offset in range(0, len(data), step):
        got += of.add(Chunk(stream=1, offset=offset, data=data[offset : offset + step]))
    return [*got, *of.end()]


@pytest.mark.parametrize("step", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("ünïcödé 日本 🎉\nzwei\n".encode(), ["ünïcödé 日本 🎉\n", "zwei\n"]),
        (b"dos\r\n\r\nend\r\n", ["dos\r\n", "\r\n", "end\r\n"]),
        (b"10%\r20%\rdone\n", ["10%\r20%\rdone\n"]),
        ("no end é".encode(), ["no end é"]),
        (b"\n\n", ["\n", "\n"]),
        (b"", []),
        (b"\xff\xfe\n\x00\xc3\n\xc3", ["\ufffd\ufffd\n", "\x00\ufffd\n", "\ufffd"]),
        ("line\u2028sep\x0b\x0c\x1c\n".encode(), ["line\u2028sep\x0b\x0c\x1c\n"]),
    ],
)
def test_lines_are_the_same_in_whatever_pieces_they_come(data: bytes, expected: list[str], step: int) -> None:
    """Where a worker cuts its output says nothing; a character of several bytes may be cut."""
    assert lines(data, step) == expected


def test_dropped_bytes_join_no_two_lines() -> None:
    """What was kept of the head and the tail are not one line, nor one character."""
    of = Lines()
    got = [*of.add(Chunk(stream=1, offset=0, data="ab é".encode()[:-1]))]
    got += of.add(Chunk(stream=1, offset=1000, data=b"\xa9 cd\n"))
    assert got == ["ab \ufffd", "\ufffd cd\n"]


def test_logs_keep_the_streams_characters_whole() -> None:
    """Both streams are cut in the middle of a character, in turn."""
    store = MemoryStore()
    hand = Hand(lambda: store)
    handle = hand.client().run("true")
    euro = "€".encode()
    hand.say(handle.id, Chunk(stream=1, offset=0, data=euro[:1]), Chunk(stream=2, offset=0, data=euro[:2]))
    hand.say(handle.id, Chunk(stream=1, offset=1, data=euro[1:] + b"\n"), Chunk(stream=2, offset=2, data=euro[2:]))
    assert list(handle.logs()) == ["€\n", "€"]
    assert list(handle.logs(stream=1)) == ["€\n"]
    assert list(handle.logs(stream=2)) == ["€"]


def test_following_begins_anew_with_the_next_attempt() -> None:
    """What a failed attempt left unfinished, a line or half a character, is not continued by the next."""
    store = MemoryStore()
    hand = Hand(lambda: store)
    handle = hand.client().run("true", retries=1, retry_delay=0)
    hand.say(handle.id, Chunk(stream=1, offset=0, data=b"begun\nfirst \xe2\x82"))
    logs = handle.logs(follow=True)
    assert next(logs) == "begun\n"
    hand.finish(handle.id, outcome=FAILED)
    store.pulse("w", "w")
    hand.say(handle.id, Chunk(stream=1, offset=0, data=b"\xac second\n"))
    hand.finish(handle.id)
    assert Threads(lambda: list(logs)).ended() == [["first \ufffd", "\ufffd second\n"]]
