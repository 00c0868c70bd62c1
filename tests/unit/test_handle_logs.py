"""Output as lines of text, and a failed job's last words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relayq.errors import JobFailed
from relayq.lines import Lines, last_lines, last_words
from relayq.model import Chunk, Outcome, Reason
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


PIECES = (
    Chunk(stream=1, offset=0, data=b"a1\na2\nb"),
    Chunk(stream=2, offset=0, data=b"e1\ne"),
    Chunk(stream=1, offset=7, data=b"1\n\nrest"),
    Chunk(stream=2, offset=4, data=b"2\n"),
)


@pytest.mark.parametrize(
    ("count", "stdout", "stderr"),
    [
        (0, b"", b""),
        (1, b"rest", b""),
        (2, b"rest", b"e2\n"),
        (3, b"\nrest", b"e2\n"),
        (4, b"b1\n\nrest", b"e2\n"),
        (5, b"b1\n\nrest", b"e1\ne2\n"),
        (99, b"a1\na2\nb1\n\nrest", b"e1\ne2\n"),
    ],
)
def test_the_last_lines_are_those_that_ended_last(count: int, stdout: bytes, stderr: bytes) -> None:
    """Of both streams together; a line may lie in several pieces, and one without an end is the last."""
    kept = last_lines(PIECES, count)
    assert b"".join(chunk.data for chunk in kept if chunk.stream == 1) == stdout
    assert b"".join(chunk.data for chunk in kept if chunk.stream == 2) == stderr
    whole = {1: b"a1\na2\nb1\n\nrest", 2: b"e1\ne2\n"}
    assert all(whole[chunk.stream][chunk.offset :].startswith(chunk.data) for chunk in kept)


def test_of_two_lines_without_an_end_the_last_is_that_which_was_added_to() -> None:
    """A prompt on stdout and a progress bar on stderr."""
    first, other = Chunk(stream=1, offset=0, data=b"wor"), Chunk(stream=2, offset=0, data=b"10%")
    assert last_lines((first, other), 1) == (other,)
    assert last_lines((first, other, more := Chunk(stream=1, offset=3, data=b"king")), 1) == (first, more)


def test_dropped_bytes_end_the_line_before_them() -> None:
    """What is kept of the head and of the tail are two lines here too."""
    head, tail = Chunk(stream=1, offset=0, data=b"one\ntwo"), Chunk(stream=1, offset=100, data=b"ee\nfour\n")
    assert last_lines((head, tail), 2) == (tail,)
    assert last_lines((head, tail), 3) == (Chunk(stream=1, offset=4, data=b"two"), tail)


def test_following_from_the_last_lines_goes_on_with_all_that_comes() -> None:
    """Only what there is already is shortened."""
    store = MemoryStore()
    hand = Hand(lambda: store)
    handle = hand.client().run("true")
    hand.say(handle.id, Chunk(stream=1, offset=0, data=b"1\n2\n3"))
    logs = handle.logs(follow=True, tail=2)
    assert next(logs) == "2\n"
    hand.say(handle.id, Chunk(stream=1, offset=5, data=b"!\n4\n5\n6\n"))
    hand.finish(handle.id)
    assert Threads(lambda: list(logs)).ended() == [["3!\n", "4\n", "5\n", "6\n"]]


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        (b"", None),
        (b"\n \n\t\n", None),
        (b"Traceback\nValueError: no\n\n", "ValueError: no"),
        (b"sh: 1: foo: not found", "sh: 1: foo: not found"),
        (b"\x1b[1;31merror:\x1b[0m b\xc3\xa4d \xff\n\x1b[0m\n", "error: bäd \ufffd"),
        (b"\x1b]0;title\x07done\x07\n", "done"),
        (b"10%\r50%\rfailed\r\n", "failed"),
        (b"x" * 70_000, "x" * 199 + "…"),
    ],
)
def test_last_words_are_one_plain_line(stderr: bytes, words: str | None) -> None:
    """They stand in a sentence: no colours, no progress bars, not too long."""
    assert last_words(stderr) == words


def test_a_failed_job_says_why_in_its_own_words() -> None:
    """`JobFailed` is often all that anyone sees of it."""
    store = MemoryStore()
    hand = Hand(lambda: store)

    def failure(outcome: Outcome) -> str:
        handle = hand.client().run("foo", timeout=9)
        hand.say(handle.id, Chunk(stream=2, offset=0, data=b"warning\nsh: 1: foo: not found\n"))
        hand.finish(handle.id, outcome=replace(outcome, stderr_bytes=30))
        with pytest.raises(JobFailed) as caught:
            handle.get(timeout=10)
        assert caught.value.result.stderr.startswith(b"warning")
        assert handle.traceback is not None
        assert handle.traceback.count("foo: not found") == 1
        return str(caught.value).removeprefix(f"job {handle.id} ")

    exited = Outcome(reason=Reason.EXITED, exit_code=127)
    assert failure(exited) == "failed on w with exit code 127: sh: 1: foo: not found"
    timed_out = Outcome(reason=Reason.TIMED_OUT, signal=15)
    assert failure(timed_out) == "ran longer than its timeout of 9 s on w: sh: 1: foo: not found"
    known = Outcome(reason=Reason.EXITED, exit_code=1, message="it left processes behind")
    assert failure(known) == "failed on w with exit code 1: it left processes behind"
    told = Outcome(reason=Reason.NOT_STARTED, message="no such program: foo")
    assert failure(told) == "could not be started on w: no such program: foo"
