"""`relayq demo`, as a user runs it: everything it shows comes out, and nothing of it is left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_until

DEMO = [sys.executable, "-m", "relayq", "demo"]
STEPS = 6


@pytest.fixture
def place() -> Iterator[Path]:
    """Where the demo may make its folder; nothing of it and no process that knows of it may be left."""
    # Not below tmp_path: with its long name the supervisors' sockets would be elsewhere.
    with tempfile.TemporaryDirectory(prefix="rq-") as name:
        folder = Path(name)
        yield folder
        wait_until(lambda: not processes_of(folder), describe=lambda: processes_of(folder))
        assert list(folder.iterdir()) == []


def processes_of(folder: Path) -> dict[int, str]:
    """Command lines of all processes that were started with this folder as TMPDIR, or for something in it."""
    found = {}
    needle = os.fsencode(folder)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                argv = (entry / "cmdline").read_bytes()
                told = argv + (entry / "environ").read_bytes()
            except OSError:
                continue
            if needle in told:
                found[int(entry.name)] = argv.replace(b"\0", b" ").decode(errors="replace")
    return found


def environment(folder: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder), "PYTHONIOENCODING": "utf-8", **more}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are looked for in /proc")
def test_demo_shows_everything_and_leaves_nothing(place: Path):
    """All steps come out within a minute, though this machine has settings that would break a worker."""
    began = time.monotonic()
    done = subprocess.run(
        DEMO,
        check=False,
        env=environment(place, RELAYQ_SLOTS="7", RELAYQ_BROKER_URL="redis://:x@127.0.0.1:1/0", RELAYQ_LABELS="rpi,mac"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=110,
    )
    text = done.stdout.decode()
    assert done.returncode == 0, text + done.stderr.decode()
    assert time.monotonic() - began < 60
    assert done.stderr == b""
    assert text.count("  ✓ ") == 2 * STEPS  # at each step, and in the summary
    assert "✗" not in text
    assert "\x1b" not in text
    assert "\r" not in text
    assert re.search(r"mac-mini +ran +[1-9]", text)
    assert re.search(r"rpi4-worker +ran +[1-9]", text)
    assert re.search(r"after: +h264 640x360, 132 frames, 5\.3\d s", text)
    assert re.search(r"attempt 1 on mac-mini .*: worker_lost\n +attempt 2 on rpi4-worker .*: exited 0\n", text)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are looked for in /proc")
@pytest.mark.parametrize(
    ("said", "number"),
    [("broker:", signal.SIGINT), ("jobs have ended", signal.SIGTERM), ("kill -9", signal.SIGINT)],
    ids=["while the nodes start", "while jobs run", "after the power cut"],
)
def test_demo_that_is_stopped_leaves_nothing(place: Path, said: str, number: signal.Signals):
    """Ctrl-C or TERM at any moment: 130, and every process and file goes."""
    with subprocess.Popen(
        DEMO, env=environment(place), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as demo:
        try:
            assert demo.stdout is not None
            seen = []
            for line in demo.stdout:
                seen.append(line.decode())
                if said in seen[-1]:
                    break
            else:
                pytest.fail(f"the demo ended before it said {said!r}: {''.join(seen)}")
            demo.send_signal(number)
            rest = demo.communicate(timeout=30)[0].decode()
        finally:
            demo.kill()
    assert demo.returncode == 130, rest
    assert "Traceback" not in rest


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are looked for in /proc")
def test_demo_whose_step_fails_says_so(place: Path, tmp_path: Path):
    """Where there is no ffmpeg the video step fails with what to do, the others come out, and the exit code tells."""
    bin = tmp_path / "bin"
    bin.mkdir()
    for program in ("sh", "sleep"):
        (bin / program).symlink_to(f"/bin/{program}")
    (bin / "imageio_ffmpeg.py").write_text("raise ImportError('not installed')\n")
    env = environment(place, PATH=str(bin), PYTHONPATH=str(bin), PYTHONIOENCODING="ascii")
    done = subprocess.run(DEMO, check=False, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=110)
    text = done.stdout.decode()
    assert done.returncode == 1, text
    assert text.count("  FAILED ") == 2
    assert text.count("  ok ") == 2 * (STEPS - 1)
    assert "there is no ffmpeg. Install it" in text
    assert "the end of mac/worker.log" in text
