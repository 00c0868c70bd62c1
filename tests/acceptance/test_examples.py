"""The examples run, as they stand, on a real fleet; and so does what USAGE.md says of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from relayq.config import load
from relayq.model import JobSpec
from relayq.routes import lane_of
from relayq.spec import make_spec

from .conftest import Fleet
from .test_media import film, say

ROOT = Path(__file__).parents[2]


def example(crew: Fleet, name: str, *args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """What a file of examples/ says, run by a machine of its own."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("RELAYQ_")}
    env |= {"RELAYQ_HOME": str(cwd / "home"), "RELAYQ_BROKER_URL": crew.url}
    argv = [sys.executable, str(ROOT / "examples" / name), *args]
    return subprocess.run(argv, env=env, cwd=cwd, capture_output=True, text=True, timeout=100, check=False)


def test_progress(crew: Fleet, tmp_path: Path) -> None:
    """The last line is the result; before it stands how far it was."""
    done = example(crew, "progress.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    *told, result = done.stdout.splitlines()
    assert result == "tidy"
    assert told
    assert all(line in [f"{n * 20}% room {n}" for n in range(1, 6)] for line in told)


def test_transcode_folder(crew: Fleet, tmp_path: Path) -> None:
    """What is done is not done again; one that fails is told with its sentence, and does not stop the others."""
    film(tmp_path / "one film.mov", 3)
    film(tmp_path / "two.mov", 3)
    (tmp_path / "three.mov").write_text("no film")
    done = example(crew, "transcode_folder.py", str(tmp_path), "*.mov", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    lines = sorted(done.stdout.splitlines())
    assert re.fullmatch(r"one film\.mov: done on [\w-]+ by libx264, -?\d+% smaller", lines[0])
    assert re.fullmatch(r"three\.mov: job \w+ failed on [\w-]+ with exit code 1: .*three\.mov is damaged.*", lines[1])
    assert (tmp_path / "two.h264.mp4").stat().st_size > 1000
    (tmp_path / "three.mov").unlink()
    again = example(crew, "transcode_folder.py", str(tmp_path), "*.mov", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (0, "")


def test_transcribe_talks(crew: Fleet, tmp_path: Path) -> None:
    """Subtitles stand beside the recordings."""
    say(tmp_path / "monday.wav")
    done = example(crew, "transcribe_talks.py", str(tmp_path), "*.wav", "en", cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.splitlines()[-1] == "monday.wav: done"
    assert (tmp_path / "monday.srt").read_text().startswith("1\n00:00:0")


@pytest.mark.parametrize("section", ["Videos", "Speech"])
def test_what_usage_says_of_media_runs(crew: Fleet, tmp_path: Path, section: str) -> None:
    """Every block of it, as it stands; only the folder is another."""
    film(tmp_path / "in.mov", 3)
    say(tmp_path / "talk.wav")
    subprocess.run(["ffmpeg", "-v", "error", "-i", "talk.wav", "talk.mp3"], cwd=tmp_path, check=True)
    text = (ROOT / "USAGE.md").read_text("utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    code = "from relayq import job\n" + "".join(blocks).replace("/videos", str(tmp_path))
    env = {k: v for k, v in os.environ.items() if not k.startswith("RELAYQ_")}
    env |= {"RELAYQ_HOME": str(tmp_path / "home"), "RELAYQ_BROKER_URL": crew.url}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    made = {"Videos": ["out.mp4", "small.mp4", "old.mkv", "in.h264.mp4"], "Speech": ["talk.srt"]}[section]
    for handle in crew.client.store.page(limit=10):
        crew.client.get(handle.id).result(timeout=60)
    assert [name for name in made if not (tmp_path / name).exists()] == []


def test_right_machine(crew: Fleet, tmp_path: Path) -> None:
    """What it foresees is what happens; what no machine has is refused with what is missing."""
    done = example(crew, "right_machine.py", "echo light work", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "it would start on rpi4-worker",
        "  rpi4-worker could run it now",
        "  mac-mini could run it now",
        "rpi4-worker: light work",
    ]
    heavy = example(crew, "right_machine.py", "ffmpeg -version", cwd=tmp_path)
    assert "it would start on mac-mini" in heavy.stdout
    assert "mac-mini: ffmpeg version" in heavy.stdout
    refused = example(crew, "right_machine.py", "--needs", "memory>=9T", "true", cwd=tmp_path)
    assert refused.returncode == 1
    assert "refused: no worker can run this job: it needs memory>=9T" in refused.stderr


def test_the_rules_in_usage_are_read_as_they_stand(tmp_path: Path) -> None:
    """The block in USAGE.md is a config.yml."""
    usage = (ROOT / "USAGE.md").read_text("utf-8")
    [block] = re.findall(r"```yaml\n(routes:.*?)```", usage, re.DOTALL)
    (tmp_path / "config.yml").write_text(block)
    routes = load({"RELAYQ_HOME": str(tmp_path)}).routes
    lanes = {c: lane_of(JobSpec(command=c), routes) for c in ("render-x", "make all", "ffmpeg -i a", "whisper a")}
    assert lanes == {
        "render-x": "with:blender+memory>=8G first:heavy",
        "make all": "first:fast-disk",
        "ffmpeg -i a": "any",
        "whisper a": "with:whisper first:heavy",
    }
    needs = re.search(r"\| `needs`(.*\n\|)+.*\n", usage)
    assert needs is not None
    words = [word for line in needs[0].splitlines()[2:] for word in re.findall(r"`([^`]+)`", line.split("|")[1])]
    assert len(words) > 12
    assert make_spec("true", needs=words).needs == tuple(words)
