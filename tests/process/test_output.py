"""Bounds and liveness of output."""

import time
from pathlib import Path

import pytest

from relayq.supervisor.client import Output, Session
from relayq.supervisor.output import Kept
from tests.process.conftest import ENV, Seen, follow, line, run, sh, until

MEGABYTE = 1 << 20


def memory_bytes(session: Session) -> int:
    """Resident memory of the supervisor."""
    status = Path(f"/proc/{session.supervisor_pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def test_line_is_live_within_half_a_second(session: Session):
    """What a job prints is seen while it runs, each line once."""
    session.start(sh("J/1", "while read x; do :; done; for i in 1 2 3; do date +%s.%N; sleep 0.3; done"))
    for number in range(3):
        frame = session.next(timeout=10)
        assert isinstance(frame, Output)
        assert time.time() - float(frame.data) < 0.5
        assert frame.offset == number * len(frame.data)
    assert follow(session).text() == b""


def test_order_of_streams_is_kept(session: Session):
    """Pieces come in the order in which the streams were read."""
    session.start(sh("J/1", "for i in 1 2 3; do echo o$i; sleep 0.1; echo e$i >&2; sleep 0.1; done"))
    seen = follow(session)
    assert [piece.data for piece in seen.pieces] == [b"o1\n", b"e1\n", b"o2\n", b"e2\n", b"o3\n", b"e3\n"]


def test_head_and_tail_are_kept_and_the_rest_is_counted(session: Session):
    """Of too much output, the first and the last half of the limit stay."""
    seen = run(session, sh("J/1", "seq 100000 199999", max_output_bytes=10_000))
    whole = "".join(f"{number}\n" for number in range(100000, 200000)).encode()
    end = seen.exit
    assert (end.stdout_bytes, end.dropped_bytes) == (len(whole), len(whole) - 10_000)
    last = seen.pieces[-1]
    assert seen.text()[:5000] == whole[:5000]
    assert seen.text()[-5000:] == whole[-5000:]
    assert last.offset + len(last.data) == len(whole)


def test_output_within_the_limit_is_complete(session: Session):
    """A megabyte is a megabyte, whichever way it travels."""
    seen = run(session, sh("J/1", f"head -c {MEGABYTE} /dev/urandom | tee /dev/stderr", max_output_bytes=4 * MEGABYTE))
    assert len(seen.text(1)) == MEGABYTE
    assert seen.text(1) == seen.text(2)
    assert seen.gaps(1) == seen.gaps(2) == []
    assert seen.exit.dropped_bytes == 0


def test_no_limit_below_zero(session: Session):
    """A job may keep nothing at all."""
    seen = run(session, sh("J/1", "echo hi", max_output_bytes=0))
    assert (seen.text(), seen.exit.stdout_bytes, seen.exit.dropped_bytes) == (b"", 3, 3)


@pytest.mark.parametrize("attached", [True, False])
def test_endless_output_bounds_everything(path: str, session: Session, attached: bool):
    """`yes` must not grow the supervisor, nor keep others from running in time, read or not."""
    noisy = Session(path, ENV)
    noisy.start(sh("Y/1", "yes", kill_grace=1.0))
    noisy.start(sh("Z/1", "yes >&2", kill_grace=1.0))
    if not attached:
        noisy.close()
    until(lambda: sum(sum(s.offsets.values()) for s in session.list()) > 20 * MEGABYTE, "20 MB were printed")
    before = memory_bytes(session)
    slowest = 0.0
    for number in range(20):
        started = time.monotonic()
        assert run(session, sh(f"J/{number}", "echo hi")).text() == b"hi\n"
        slowest = max(slowest, time.monotonic() - started)
    until(lambda: sum(sum(s.offsets.values()) for s in session.list()) > 60 * MEGABYTE, "60 MB were printed")
    assert slowest < 1.0
    assert memory_bytes(session) - before < 8 * MEGABYTE
    assert memory_bytes(session) < 40 * MEGABYTE
    session.stop("Y/1")
    session.stop("Z/1")
    until(lambda: {s.state for s in session.list()} == {"ended"}, "both have ended")
    session.attach("Y/1")
    seen = follow(session)
    assert len(seen.text()) == MEGABYTE
    assert seen.exit.dropped_bytes == seen.exit.stdout_bytes - MEGABYTE
    noisy.close()


def test_slow_reader_gets_head_and_tail(session: Session):
    """A client that does not read holds nobody up, and misses only what was dropped anyway."""
    session.start(sh("J/1", f"seq 1000000 1999999; head -c {3 * MEGABYTE} /dev/zero | tr '\\0' x; echo; echo end"))
    until(lambda: session_state_of(session.supervisor_pid, 0), "the job has printed all")
    seen = follow(session)
    assert seen.text().startswith(b"1000000\n1000001\n")
    assert seen.text().endswith(b"xxx\nend\n")
    assert seen.exit.stdout_bytes == 8_000_000 + 3 * MEGABYTE + 5
    assert all(expected < got for expected, got in seen.gaps())


def test_unread_output_is_held_once(session: Session, other: Session):
    """For a session that does not read, only a bounded part is queued beside what is kept."""
    before = memory_bytes(other)
    session.start(sh("J/1", f"head -c {20 * MEGABYTE} /dev/zero; sleep 300", max_output_bytes=40 * MEGABYTE))
    until(lambda: printed(other) == 20 * MEGABYTE, "all is printed")
    assert memory_bytes(other) - before < 30 * MEGABYTE


def test_endless_output_is_read_at_a_bounded_rate(session: Session):
    """`yes` must not cost a core: beyond what is kept, it is slowed down."""
    session.start(sh("J/1", "yes"))
    until(lambda: printed(session) > 10 * MEGABYTE, "it is at full speed")
    started, at_first = time.monotonic(), printed(session)
    until(lambda: printed(session) > at_first + 40 * MEGABYTE, "40 MB more are printed")
    assert (printed(session) - at_first) / (time.monotonic() - started) < 60 * MEGABYTE


def printed(session: Session) -> int:
    return sum(session.list()[0].offsets.values()) if session.list() else 0


def session_state_of(pid: int, jobs: int) -> bool:
    """Whether the supervisor has that many children left."""
    return len(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()) == jobs


def test_live_tail_is_limited_to_a_rate(session: Session):
    """Beyond the head a chatty job sends its session at most about 64 KiB a second."""
    session.start(sh("J/1", "yes", max_output_bytes=100_000))
    started = time.monotonic()
    seen = Seen()
    while time.monotonic() - started < 1.5:
        frame = session.next(timeout=0.1)
        if frame is not None:
            seen.add(frame)
    assert 100_000 < len(seen.text()) < 50_000 + 3 * 65536
    assert seen.gaps()


def test_two_jobs_talking_at_once_stay_apart(session: Session, other: Session):
    """Output never ends up with the wrong attempt."""
    session.start(sh("A/1", "for i in $(seq 200); do echo a$i; done; sleep 0.2; echo a"))
    other.start(sh("B/1", "for i in $(seq 200); do echo b$i; done; sleep 0.2; echo b"))
    assert set(follow(session).text()) <= set(b"a0123456789\n")
    assert set(follow(other).text()) <= set(b"b0123456789\n")


def test_first_line_of_a_long_job_is_seen(session: Session):
    """A line printed right at the start is delivered though nothing follows."""
    session.start(sh("J/1", "echo ready; sleep 60"))
    assert line(session) == b"ready\n"


def collect(kept: Kept, offsets: list[int], limit: int) -> list[tuple[int, int, bytes]]:
    found = []
    while pieces := kept.after(offsets, limit):
        for stream, offset, data in pieces:
            found.append((stream, offset, data))
            offsets[stream] = offset + len(data)
    return found


def test_single_bytes_to_both_streams_cost_little():
    """Interleaved tiny writes keep every byte, and not a chunk for each."""
    kept = Kept(1 << 20)
    for number in range(300_000):
        kept.add(1 + number % 2, b"oe"[number % 2 : number % 2 + 1])
    assert sum(1 for _ in kept.chunks()) < 5000
    pieces = collect(kept, [0, 0, 0], 1000)
    for stream, letter in ((1, b"o"), (2, b"e")):
        assert b"".join(data for s, _, data in pieces if s == stream) == letter * 150_000
    assert kept.dropped_bytes == 0


def test_reading_on_from_any_offset_gives_the_rest():
    """Whatever was seen before, what follows is exactly the rest that is kept."""
    for limit in (7, 100, 1000):
        for have in (0, 1, 49, 50, 51, 120, 199, 200):
            kept = Kept(100)
            whole = bytes(range(200))
            for at in range(0, 200, 3):
                kept.add(1, whole[at : at + 3])
            offsets = [0, have, 0]
            expected = {at: whole[at] for at in [*range(50), *range(150, 200)] if at >= have}
            got = {}
            for _, offset, data in collect(kept, offsets, limit):
                got.update({offset + index: byte for index, byte in enumerate(data)})
            assert got == expected
            assert kept.kept_bytes == 100
            assert kept.size_after([0, have, 0]) == len(expected)
