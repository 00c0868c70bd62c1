"""Videos and speech on a real fleet, from Python: what comes back, how far it is, what is refused."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from relayq.errors import JobFailed, NoSuchWorker
from relayq.model import State
from tests.conftest import wait_until

from .conftest import Fleet
from .test_cli import RELAYQ, Shell
from .test_progress import on_terminal

SPEECH = "one two three four five six seven eight nine ten"


def say(file: Path) -> Path:
    """Somebody counts to ten."""
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "130", "-w", str(file), SPEECH], check=True)
    return file


def film(file: Path, seconds: int = 10, *args: str) -> Path:
    """A picture that moves, with a tone."""
    sources = ["-f", "lavfi", "-i", f"testsrc=d={seconds}:s=320x240:r=25", "-f", "lavfi", "-i", f"sine=d={seconds}"]
    encoded = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"]
    subprocess.run(["ffmpeg", "-v", "error", *sources, *encoded, *args, str(file)], check=True)
    return file


def test_a_video_is_converted_and_its_value_says_what_came_of_it(crew: Fleet, tmp_path: Path) -> None:
    """On the heavy machine, as nothing else is said; 1.x's keys, and more. Names are passed exactly."""
    clip, output = film(tmp_path / "-a 'cl\"ip'\n日本 {workspace}.mp4"), "--out $é.mp4"
    handle = crew.client.transcode(clip.name, output, preset="fast", cwd=str(tmp_path))
    assert handle.get(timeout=60) == {
        "status": "success",
        "output": output,
        "input_bytes": clip.stat().st_size,
        "output_bytes": (tmp_path / output).stat().st_size,
        "duration": pytest.approx(10, abs=0.1),
        "video_codec": "h264",
        "audio_codec": "aac",
        "encoder": "libx264",
    }
    assert handle.job().worker == "mac-mini"
    wait_until(lambda: not list((crew.folder / "mac-mini" / "work").iterdir()))


def test_h265_goes_to_a_machine_whose_encoder_works(crew: Fleet, tmp_path: Path) -> None:
    """As it found by trying; Apple's players know the file by its tag."""

    def tried() -> bool:
        return "encoder:libx265" in crew.client.worker_status()["workers"]["mac-mini"]["capabilities"]

    wait_until(tried, 30, crew.logs)
    clip = film(tmp_path / "clip.mp4", 2)
    handle = crew.client.transcode(str(clip), str(tmp_path / "out.mp4"), codec="h265", on="mac-mini")
    value = handle.get(timeout=60)
    assert (value["video_codec"], value["encoder"]) == ("hevc", "libx265")
    ask = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_tag_string", "-of", "csv=p=0"]
    told = subprocess.run([*ask, str(tmp_path / "out.mp4")], capture_output=True, text=True, check=True).stdout
    assert told.split()[0] == "hvc1"


def test_a_conversion_says_how_far_it_is_and_can_be_cancelled(crew: Fleet, tmp_path: Path) -> None:
    """Percent, pictures a second, speed and what is left; nothing half done stays."""
    clip = film(tmp_path / "clip.mp4")
    handle = crew.client.transcode(
        str(clip), str(tmp_path / "out.mp4"), "-vf scale=1920:-2 -c:v libx264 -preset placebo", name="film"
    )

    def told_of_pictures() -> dict[str, Any]:
        told = handle.info
        return told if "fps" in (told.get("message") or "") else {}

    told: Any = wait_until(told_of_pictures, 40, handle.job)
    assert 0 < told["progress"] < 1
    assert re.fullmatch(r"\d+ fps, [\d.e-]+×, [\d:]+ left", told["message"])
    handle.cancel()
    assert handle.result(timeout=30).state is State.CANCELLED
    assert sorted(file.name for file in tmp_path.iterdir() if file.suffix != ".log") == ["clip.mp4"]


def test_what_goes_wrong_is_the_last_sentence(crew: Fleet, tmp_path: Path) -> None:
    """Of the error as well."""
    handle = crew.client.transcode(str(tmp_path / "no.mov"), str(tmp_path / "out.mp4"), on="mac-mini")
    with pytest.raises(JobFailed, match=rf"exit code 1: no such file on mac-mini: {tmp_path}/no\.mov$"):
        handle.get(timeout=30)


def test_speech_becomes_text_subtitles_or_json(crew: Fleet, tmp_path: Path) -> None:
    """By the engine that the machine has."""
    talk = say(tmp_path / "talk.wav")
    text = crew.client.transcribe(str(talk)).get(timeout=60)
    assert {"three", "four", "five", "nine", "ten"} <= set(text.split())
    data = json.loads(crew.client.transcribe(str(talk), format="json", language="en").get(timeout=60))
    assert (data["engine"], data["language"], data["text"]) == ("pocketsphinx", "en", text.strip())
    assert 0 <= data["segments"][0]["start"] < data["segments"][-1]["end"] < 10
    handle = crew.client.transcribe(str(talk), output=str(tmp_path / "talk.srt"))
    subtitles = handle.get(timeout=60)
    assert subtitles.startswith("1\n00:00:0")
    assert (tmp_path / "talk.srt").read_text() == subtitles


def test_without_an_engine_the_refusal_says_what_to_install(crew: Fleet, tmp_path: Path) -> None:
    """At once; with `queue_anyway` it waits."""
    with pytest.raises(NoSuchWorker, match=r'it needs "faster-whisper".*-m pip install faster-whisper$'):
        crew.client.transcribe("talk.mp3", engine="faster-whisper")
    with pytest.raises(NoSuchWorker, match="brew install whisper-cpp"):
        crew.client.transcribe("talk.mp3", engine="whisper.cpp")
    handle = crew.client.transcribe("talk.mp3", engine="whisper.cpp", queue_anyway=True)
    assert handle.state is State.QUEUED
    handle.cancel()


def test_a_language_that_no_engine_there_knows_is_said(crew: Fleet, tmp_path: Path) -> None:
    """Rather than a transcript of nonsense."""
    handle = crew.client.transcribe(str(tmp_path / "talk.mp3"), language="de")
    with pytest.raises(JobFailed, match="pocketsphinx only knows English"):
        handle.get(timeout=30)


# ── on the command line ──


@pytest.fixture
def shell(crew: Fleet, tmp_path: Path) -> Shell:
    return Shell(tmp_path / "home", crew.url)


def test_a_conversion_is_asked_for_on_the_command_line(shell: Shell, tmp_path: Path) -> None:
    """It ends with a line that says what came of it; as JSON with all of it."""
    clip, output = film(tmp_path / "-a clip.mp4"), tmp_path / "out.mp4"
    done = shell("transcode", "--preset", "fast", "--", str(clip), str(output))
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(rf"{output}: 0\.\d MB instead of 0\.\d MB, 0:10, h264 and aac\n", done.stdout)
    record = shell.json("transcode", "--options", "-c copy", str(clip), str(tmp_path / "out.mkv"))
    assert (record["state"], record["kind"], record["value"]["duration"]) == (
        "succeeded",
        "transcode",
        pytest.approx(10, 0.1),
    )
    failed = shell("transcode", str(clip), str(clip))
    assert failed.returncode == 1
    assert failed.stderr.endswith("Name another output\n")
    wrong = shell("transcode", "--options", "-an", "--preset", "fast", str(clip), "x.mp4")
    assert wrong.returncode == 2
    assert "give either options or preset" in wrong.stderr


def test_on_a_terminal_a_conversion_has_a_bar(crew: Fleet, shell: Shell, tmp_path: Path) -> None:
    """Percent and what is left; afterwards only the line that says what came of it."""
    clip = film(tmp_path / "clip.mp4")
    options = ["--options", "-vf scale=1280:-2 -c:v libx264 -preset slow"]
    argv = [*RELAYQ, "transcode", *options, str(clip), str(tmp_path / "out.mp4")]
    seen = on_terminal(argv, shell.env, until="fps", then=tmp_path / "seen")
    assert re.search(r"\[#*\.*\] \d+ %, \d+ fps, [\d.]+×, [\d:]+ left", seen)
    assert re.search(r"\r\x1b\[K[^\r]*out\.mp4: 0\.\d MB instead of 0\.\d MB, 0:10, h264 and aac\r\n$", seen)


def test_speech_is_transcribed_on_the_command_line(shell: Shell, tmp_path: Path) -> None:
    """Shown, or written into a file; left to itself with --detach."""
    talk = say(tmp_path / "talk.wav")
    done = shell("transcribe", str(talk))
    assert done.returncode == 0, done.stderr
    assert {"three", "four", "five"} <= set(done.stdout.split())
    done = shell("transcribe", "-o", str(tmp_path / "talk.vtt"), "--on", "mac-mini", str(talk))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.endswith(f"{tmp_path}/talk.vtt is written on mac-mini\n")
    assert (tmp_path / "talk.vtt").read_text().startswith("WEBVTT\n")
    id = shell("transcribe", "--detach", "--id", "monday", str(talk)).stdout
    assert id == "monday\n"
    assert shell("wait", "monday").returncode == 0
    refused = shell("transcribe", "--engine", "whisper.cpp", str(talk))
    assert refused.returncode == 255
    assert "Install it there: brew install whisper-cpp" in refused.stderr
