"""A job outlives its client; another session takes it over."""

import subprocess
import sys
from pathlib import Path

from relayq.supervisor.client import Exit, Session
from tests.process.conftest import ENV, Seen, follow, line, sh, until

CLIENT = """
import sys
from relayq.supervisor.client import Order, Session
session = Session(sys.argv[1], {"PATH": "/usr/bin:/bin"})
session.start(Order(key="J/1", argv=["/bin/sh", "-c", sys.argv[2]]))
seen = b""
while seen.count(b"\\n") < 3:
    frame = session.next()
    seen += frame.data
print(len(seen), flush=True)
session.next()
sys.stdin.read()
"""


def killed_client(path: str, script: str) -> int:
    """Has a client start a job and read three lines, kills it with -9; gives how much it had read."""
    with subprocess.Popen(
        [sys.executable, "-c", CLIENT, path, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as client:
        assert client.stdout is not None
        had = int(client.stdout.readline())
        client.kill()
    return had


def test_job_of_a_killed_client_goes_on_and_is_taken_over(path: str, session: Session):
    """The rest comes without gap or repeat, and the real exit code."""
    had = killed_client(path, "for i in $(seq 30); do echo line $i; sleep 0.02; done; exit 9")
    session.attach("J/1", {1: had})
    seen = follow(session)
    whole = "".join(f"line {number}\n" for number in range(1, 31)).encode()
    assert seen.text() == whole[had:]
    assert seen.gaps(1, start=had) == []
    assert (seen.exit.reason, seen.exit.exit_code, seen.exit.stdout_bytes) == ("exited", 9, len(whole))


def test_job_that_ended_meanwhile_is_taken_over(path: str, session: Session):
    """What ended while nobody listened is told to the next who asks, as often as they ask."""
    had = killed_client(path, "for i in 1 2 3; do echo line $i; done; sleep 0.3; echo late; exit 9")
    until(lambda: [s.state for s in session.list()] == ["ended"], "it has ended")
    for offset, text in ((had, b"late\n"), (0, b"line 1\nline 2\nline 3\nlate\n")):
        session.attach("J/1", {1: offset})
        seen = follow(session)
        assert (seen.text(), seen.exit.exit_code) == (text, 9)


def test_take_over_from_a_living_session(session: Session, other: Session):
    """From the attach on, the output and the end go to the new session only."""
    session.start(sh("J/1", "echo one; read x < /dev/null; sleep 0.3; echo two"))
    assert line(session) == b"one\n"
    other.attach("J/1", {1: 4})
    assert follow(other).text() == b"two\n"
    assert session.next(timeout=0.2) is None


def test_large_output_is_taken_over_whole(session: Session, other: Session):
    """More than fits one frame, and more than fits the socket."""
    session.start(sh("J/1", "seq 1000000 1249999; echo err >&2", max_output_bytes=4 << 20))
    whole = "".join(f"{number}\n" for number in range(1000000, 1250000)).encode()
    until(lambda: session.list()[0].state == "ended", "it has ended")
    other.attach("J/1", {1: 777_777})
    seen = follow(other)
    assert seen.text() == whole[777_777:]
    assert seen.gaps(1, start=777_777) == []
    assert seen.text(2) == b"err\n"


def test_unknown_attempt_is_said_to_be_unknown(session: Session):
    """Who asks for what is not here is told so, and can go on."""
    session.attach("No/1")
    frame = session.next(timeout=5)
    assert isinstance(frame, Exit)
    assert (frame.reason, frame.key, frame.error) == ("unknown", "No/1", "there is no attempt No/1 here")


def test_attach_again_and_again_loses_nothing(path: str, session: Session):
    """Sessions that come and go while a job talks see, together, every byte once."""
    session.start(sh("J/1", "for i in $(seq 400); do echo $i; sleep 0.001; done"))
    session.close()
    seen = Seen()
    while seen.exit is None:
        with Session(path, ENV) as again:
            again.attach("J/1", {1: len(seen.text())})
            frame = again.next(timeout=10)
            assert frame is not None
            seen.add(frame)
    assert seen.text() == "".join(f"{number}\n" for number in range(1, 401)).encode()
    assert seen.gaps() == []


def test_supervisor_keeps_its_name_to_itself(session: Session):
    """Its command line must not look like a worker's to those who look for one."""
    import re

    command = Path(f"/proc/{session.supervisor_pid}/cmdline").read_text().replace("\0", " ")
    assert not re.search("celery.*relayq", command)
    assert "relayq.supervisor" in command
