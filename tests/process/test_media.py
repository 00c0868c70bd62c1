"""The process of a transcode or transcribe job, by itself: real ffmpeg, real files, real trouble."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from relayq.kinds import Machine, get_kind
from relayq.spec import make_spec
from tests.conftest import wait_until

SPEECH = "one two three four five six seven eight nine ten"


class Desk:
    """A folder to work in, and what a worker would start there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "RELAYQ_JOB_ID": "j", "RELAYQ_ATTEMPT": "1"}
        self.before: Sequence[str] = ()  #: words before the command

    def argv(self, kind: str, params: dict[str, Any], offers: str) -> list[str]:
        machine = Machine(name="mac-mini", offers=frozenset(offers.split()), python=sys.executable)
        plan = get_kind(kind).plan(make_spec(kind=kind, params=params), machine)
        workspace = self.folder / "workspace"
        workspace.mkdir(exist_ok=True)
        for name, text in plan.files.items():
            (workspace / name).write_text(text)
        return [*self.before, *(word.replace("{workspace}", str(workspace)) for word in plan.argv)]

    def __call__(self, kind: str, *, offers: str = "", **params: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(kind, params, offers),
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )

    def report(self, **params: Any) -> Any:
        """What a conversion that went well reports."""
        done = self("transcode", **params)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def sentence(self, kind: str, **params: Any) -> str:
        """What one that failed says last; nothing may be left of it."""
        before = sorted(self.folder.iterdir())
        done = self(kind, **params)
        assert done.returncode == 1, done.stderr
        assert sorted(self.folder.iterdir()) in (before, sorted([*before, self.folder / "workspace"]))
        return done.stderr.splitlines()[-1]


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of ten seconds with odd sides and a sound, and others made of it."""
    folder = tmp_path_factory.mktemp("media")

    def ffmpeg(*args: str) -> None:
        subprocess.run(["ffmpeg", "-v", "error", "-y", *args], cwd=folder, check=True)

    ffmpeg(
        "-f", "lavfi", "-i", "testsrc=d=10:s=161x121:r=25", "-f", "lavfi", "-i", "sine=d=10",
        "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv444p", "-c:a", "aac", "clip.mp4",
    )  # fmt: skip
    ffmpeg("-i", "clip.mp4", "-c", "copy", "-movflags", "+faststart", "stream.mp4")
    ffmpeg("-i", "clip.mp4", "-c", "copy", "clip.mkv")
    ffmpeg("-i", "clip.mp4", "-c", "copy", "-an", "mute.mp4")
    ffmpeg("-i", "clip.mp4", "-vn", "sound.mp3")
    ffmpeg("-i", "clip.mp4", "-vn", "sound.wav")
    return folder


@pytest.fixture
def desk(media: Path, tmp_path: Path) -> Desk:
    for file in media.iterdir():
        shutil.copy(file, tmp_path)
    return Desk(tmp_path)


def codecs(path: Path) -> list[str]:
    ask = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name,pix_fmt,width", "-of", "csv=p=0", str(path)]
    return subprocess.run(ask, capture_output=True, text=True, check=True).stdout.split()


# ── going well ──


def test_a_video_is_converted_and_measured(desk: Desk) -> None:
    """Sides are made even, colours what players know; how far it is stands on stderr, between 0 and 1."""
    done = desk("transcode", input="clip.mp4", output="out.mp4")
    report = json.loads(done.stdout)
    assert report == {
        "input_bytes": (desk.folder / "clip.mp4").stat().st_size,
        "output_bytes": (desk.folder / "out.mp4").stat().st_size,
        "duration": pytest.approx(10, abs=0.1),
        "video_codec": "h264",
        "audio_codec": "aac",
        "encoder": "libx264",
    }
    assert codecs(desk.folder / "out.mp4") == ["h264,160,yuv420p", "aac"]
    assert "::progress 1.0000" in done.stderr


def test_options_are_given_to_ffmpeg_as_they_are(desk: Desk) -> None:
    """The value names no encoder, for it was not ours to choose."""
    report = desk.report(input="clip.mp4", output="out.mkv", options="-c:v mpeg4 -c:a copy -metadata title='a  b'")
    assert (report["video_codec"], report["audio_codec"], report["encoder"]) == ("mpeg4", "aac", None)
    ask = [
        "ffprobe",
        "-v",
        "error",
        "-show_entries",
        "format_tags=title",
        "-of",
        "csv=p=0",
        str(desk.folder / "out.mkv"),
    ]
    assert subprocess.run(ask, capture_output=True, text=True, check=True).stdout == "a  b\n"


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_an_encoder_that_fails_for_this_file_gives_way_to_the_next(desk: Desk, codec: str) -> None:
    """A graphics card that is not there after all."""
    own = {"h264": "libx264", "h265": "libx265"}[codec]
    nvidia = {"h264": "h264_nvenc", "h265": "hevc_nvenc"}[codec]
    done = desk(
        "transcode",
        offers=f"encoder:{nvidia} encoder:{own}",
        input="clip.mp4",
        output="out.mp4",
        codec=codec,
        preset="fast",
    )
    assert json.loads(done.stdout)["encoder"] == own, done.stderr
    assert f"{nvidia} does not work for this" in done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "with space",
        'it\'s "quoted"',
        "new\nline",
        "-leading",
        "ünï 日本",
        "$HOME `id`",
        "a:b",
        "50%",
        "https:",
        "{workspace}",
        "[x]*?",
    ],
)
def test_any_name_is_passed_exactly(desk: Desk, name: str) -> None:
    """Relative to the folder the job runs in, and whole; no shell sees it."""
    shutil.copy(desk.folder / "clip.mp4", desk.folder / f"{name}.mp4")
    desk.report(input=f"{name}.mp4", output=f"out {name}.mkv", options="-c copy")
    assert codecs(desk.folder / f"out {name}.mkv") == codecs(desk.folder / "clip.mp4")
    desk.report(
        input=str(desk.folder / f"{name}.mp4"), output=str(desk.folder / f"whole {name}.mkv"), options="-c copy"
    )
    assert (desk.folder / f"whole {name}.mkv").exists()


def test_names_are_utf8_whatever_the_machine_speaks(desk: Desk) -> None:
    """Also in what is said of them."""
    desk.env |= {
        "LC_ALL": "de_DE.ISO-8859-1",
        "LANG": "de_DE.ISO-8859-1",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }
    shutil.copy(desk.folder / "clip.mp4", desk.folder / "日本.mp4")
    desk.report(input="日本.mp4", output="ü 日本.mkv", options="-c copy")
    assert (desk.folder / "ü 日本.mkv").exists()
    assert desk.sentence("transcode", input="語.mp4", output="o.mp4") == "no such file on mac-mini: 語.mp4"


def test_a_tilde_is_the_home_of_the_worker(desk: Desk) -> None:
    """As in the folder of a job; a folder of that name comes first."""
    (desk.folder / "home").mkdir()
    shutil.copy(desk.folder / "clip.mp4", desk.folder / "home")
    desk.env["HOME"] = str(desk.folder / "home")
    desk.report(input="~/clip.mp4", output="~/out.mkv", options="-c copy")
    assert (desk.folder / "home" / "out.mkv").exists()
    assert (
        desk.sentence("transcode", input="~/no.mp4", output="o.mp4")
        == f"no such file on mac-mini: {desk.folder}/home/no.mp4"
    )


def test_sound_alone_is_converted_too(desk: Desk) -> None:
    """Into a container for videos, or one of its own."""
    assert desk.report(input="sound.mp3", output="out.mp4")["audio_codec"] == "aac"
    report = desk.report(input="clip.mp4", output="out.mp3")
    assert (report["video_codec"], report["audio_codec"]) == (None, "mp3")


def test_several_files_take_their_names_together(desk: Desk) -> None:
    """Numbered pictures, the pieces of a stream."""
    desk.report(input="clip.mp4", output="shot_%02d.png", options="-vf fps=1/5")
    assert sorted(file.name for file in desk.folder.glob("shot*")) == ["shot_01.png", "shot_02.png"]
    desk.report(input="clip.mp4", output="stream.m3u8", options="-c copy -hls_list_size 0")
    assert (desk.folder / "stream.m3u8").read_text().count("stream") >= 1
    assert list(desk.folder.glob("stream*.ts"))


def test_a_link_stays_a_link(desk: Desk) -> None:
    """What it leads to is replaced."""
    (desk.folder / "disk").mkdir()
    (desk.folder / "out.mkv").symlink_to("disk/real.mkv")
    desk.report(input="clip.mp4", output="out.mkv", options="-c copy")
    assert (desk.folder / "out.mkv").is_symlink()
    assert (desk.folder / "disk/real.mkv").stat().st_size > 1000


def test_without_ffprobe_the_ffmpeg_of_the_wheel_will_do(desk: Desk) -> None:
    """imageio-ffmpeg carries no ffprobe, and puts nothing on PATH."""
    (desk.folder / "bin").mkdir()
    desk.env["PATH"] = str(desk.folder / "bin")
    report = desk.report(input="clip.mp4", output="out.mp4")
    assert report["duration"] == pytest.approx(10, abs=0.1)
    assert (report["video_codec"], report["audio_codec"]) == ("h264", "aac")


# ── going wrong ──


def test_a_missing_input_is_named_with_its_machine(desk: Desk) -> None:
    """Files do not travel: whose file is missing matters."""
    assert desk.sentence("transcode", input="no.mp4", output="o.mp4") == "no such file on mac-mini: no.mp4"
    assert desk.sentence("transcode", input="50%.mp4", output="o.mp4") == "no such file on mac-mini: 50%.mp4"
    assert (
        desk.sentence("transcribe", offers="pocketsphinx", input="no\nwhere.mp3")
        == 'no such file on mac-mini: "no\\nwhere.mp3"'
    )
    assert desk.sentence("transcode", input=".", output="o.mp4") == "this is a folder on mac-mini, not a file: ."
    (desk.folder / "empty.mp4").touch()
    assert desk.sentence("transcode", input="empty.mp4", output="o.mp4") == "this file is empty on mac-mini: empty.mp4"


def test_the_input_is_never_written_to(desk: Desk) -> None:
    """By whatever name the output is called."""
    (desk.folder / "hard.mp4").hardlink_to(desk.folder / "clip.mp4")
    (desk.folder / "soft.mp4").symlink_to("clip.mp4")
    before = (desk.folder / "clip.mp4").read_bytes()
    for name in ("clip.mp4", "./clip.mp4", "hard.mp4", "soft.mp4", str(desk.folder / "clip.mp4")):
        said = desk.sentence("transcode", input="clip.mp4", output=name)
        assert said == f"input and output are the same file on mac-mini: {name}. Name another output"
    said = desk.sentence("transcribe", offers="pocketsphinx", input="clip.mp4", output="soft.mp4")
    assert said == "input and output are the same file on mac-mini: soft.mp4. Name another output"
    assert (desk.folder / "clip.mp4").read_bytes() == before


def test_an_output_that_cannot_be_is_said_before_anything_runs(desk: Desk) -> None:
    """A folder that is not there, or is what should be written; a device is not replaced."""
    said = desk.sentence("transcode", input="clip.mp4", output="no/where/out.mp4")
    assert said == f"no such folder on mac-mini: {desk.folder}/no/where. Make it first, or name another"
    (desk.folder / "folder.mp4").mkdir()
    for name in ("folder.mp4", "/dev/null"):
        said = desk.sentence("transcode", input="clip.mp4", output=name)
        assert said == f"this is no file on mac-mini that could be replaced: {name}"
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize("file", ["clip.mp4", "stream.mp4", "clip.mkv", "sound.mp3", "sound.wav"])
@pytest.mark.parametrize("kind", ["transcode", "transcribe"])
def test_a_truncated_file_is_noticed(desk: Desk, file: str, kind: str) -> None:
    """ffmpeg converts what there is of most of them, and calls that a success. What was there before stays."""
    cut = desk.folder / f"cut.{file}"
    data = (desk.folder / file).read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    (desk.folder / "out.mkv").write_text("the last good one")
    if kind == "transcode":
        said = desk.sentence("transcode", input=cut.name, output="out.mkv", options="-c:v libx264 -preset ultrafast")
    else:
        said = desk.sentence("transcribe", offers="pocketsphinx", input=cut.name, output="out.mkv")
    assert f"{cut.name} is damaged" in said
    assert (desk.folder / "out.mkv").read_text() == "the last good one"


def test_what_is_no_media_is_said(desk: Desk) -> None:
    """By both kinds."""
    (desk.folder / "note.mp4").write_text("not a film\n" * 100)
    for kind, more in (("transcode", {"output": "o.mp4"}), ("transcribe", {"offers": "pocketsphinx"})):
        assert desk.sentence(kind, input="note.mp4", **more).startswith(
            "note.mp4 is damaged, incomplete or no video or sound"
        )


@pytest.mark.parametrize("file", ["short.mp4", "short.mkv"])
def test_a_sound_that_is_shorter_than_its_video_is_whole(desk: Desk, file: str) -> None:
    """For both kinds."""
    argv = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        "clip.mp4",
        "-t",
        "3",
        "-i",
        "clip.mp4",
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-c",
        "copy",
    ]
    subprocess.run([*argv, file], cwd=desk.folder, check=True)
    assert desk.report(input=file, output="out.mp4")["duration"] == pytest.approx(10, abs=0.1)
    assert desk("transcribe", offers="pocketsphinx", input=file).returncode == 0


def test_a_video_without_sound_has_no_transcript(desk: Desk) -> None:
    """It is a fine video."""
    assert desk.sentence("transcribe", offers="pocketsphinx", input="mute.mp4") == "there is no sound track in mute.mp4"


def test_options_that_ffmpeg_does_not_know_are_said(desk: Desk) -> None:
    """Without a page of its own words after them."""
    said = desk.sentence("transcode", input="clip.mp4", output="o.mp4", options="-c:v h267")
    assert said == "the ffmpeg of mac-mini has no encoder h267"
    said = desk.sentence("transcode", input="clip.mp4", output="o.mp4", options="-nonsense 3")
    assert said == "the ffmpeg of mac-mini has no option -nonsense"


@pytest.mark.parametrize("kind", ["transcode", "transcribe"])
def test_a_full_disk_is_said(desk: Desk, kind: str) -> None:
    """A file system of 64 KiB, in a namespace of its own."""
    for folder in ("disk", "workspace"):
        (desk.folder / folder).mkdir(exist_ok=True)
    full = 'mount -t tmpfs -o size=64k none disk && exec "$@"'
    if kind == "transcribe":  # whose sound is written into its workspace
        full = 'cp -r workspace w && mount -t tmpfs -o size=64k none workspace && cp w/* workspace && exec "$@"'
    unshare = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--user", "--map-root-user"])]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode != 0:
        assert "CI" not in os.environ, "no mount namespace of its own"
        pytest.skip("no mount namespace of its own here")
    desk.before = [*unshare, "sh", "-c", full, "sh"]
    done = (
        desk("transcode", input="clip.mp4", output="disk/out.mkv", options="-c:v ffv1")
        if kind == "transcode"
        else desk("transcribe", offers="pocketsphinx", input="clip.mp4")
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("no space left on mac-mini for "), done.stderr


def test_a_folder_that_may_not_be_written_is_said(desk: Desk) -> None:
    """Read-only, for root as well."""
    said = desk.sentence("transcode", input="clip.mp4", output="/proc/out.mp4")
    assert said.startswith("mac-mini cannot write into /proc: ")


def test_ended_in_the_middle_it_leaves_nothing(desk: Desk) -> None:
    """TERM to the whole group, as a supervisor sends it; the process ends as by TERM."""
    slow = {"input": "clip.mp4", "output": "out.mp4", "options": "-vf scale=1920:-2 -c:v libx264 -preset placebo"}
    process = subprocess.Popen(
        desk.argv("transcode", slow, ""),
        cwd=desk.folder,
        env=desk.env,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until(lambda: list(desk.folder.glob(".relayq-j-1/out.mp4")))
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(20) == -signal.SIGTERM
    assert not list(desk.folder.glob(".relayq*"))
    assert not (desk.folder / "out.mp4").exists()


def test_the_next_attempt_clears_away_what_a_lost_one_left(desk: Desk) -> None:
    """A machine that lost its power could not."""
    left = desk.folder / ".relayq-j-0"
    left.mkdir()
    (left / "out.mkv").write_text("half")
    desk.report(input="clip.mp4", output="out.mkv", options="-c copy")
    assert not left.exists()


# ── speech ──


@pytest.fixture(scope="session")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody counts to ten."""
    file = tmp_path_factory.mktemp("talk") / "talk.wav"
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "130", "-w", str(file), SPEECH], check=True)
    return file


def test_speech_becomes_text(desk: Desk, talk: Path) -> None:
    """Most of its words, by a small engine on a synthetic voice; also out of a video, and into a file."""
    done = desk("transcribe", offers="pocketsphinx", input=str(talk))
    assert done.returncode == 0, done.stderr
    assert {"three", "four", "five", "nine", "ten"} <= set(done.stdout.split())
    again = desk("transcribe", offers="pocketsphinx", input=str(talk), output="-talk é.srt")
    assert (desk.folder / "-talk é.srt").read_text() == again.stdout
    assert again.stdout.startswith("1\n00:00:00,")
    assert done.stdout.split()[0] in again.stdout


def test_silence_is_an_empty_transcript(desk: Desk) -> None:
    """No words are no failure."""
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "anullsrc=d=2", str(desk.folder / "quiet.wav")], check=True
    )
    done = desk("transcribe", offers="pocketsphinx", input="quiet.wav", format="json")
    assert json.loads(done.stdout)["segments"] == [], done.stderr


# Models cannot be fetched for these; what stands in for the programs speaks as their documentation says.

WHISPER_CLI = """#!/bin/sh
while [ $# -gt 0 ]; do case "$1" in -of) of=$2;; -m) model=$2;; -l) language=$2;; -f) wav=$2;; esac; shift; done
[ -s "$wav" ] && [ -e "$model" ] || exit 3
echo "whisper_print_progress_callback: progress =  50%" >&2
cat >"$of.json" <<EOT
{"result": {"language": "de"}, "transcription": [
    {"offsets": {"from": 0, "to": 1500}, "text": " Guten Morgen ($language)"}]}
EOT
"""

WHISPER = """#!/bin/sh
wav=$1
while [ $# -gt 0 ]; do
    case "$1" in --output_dir|--output-dir) dir=$2;; --output-name) name=$2;; esac
    shift
done
echo "Detected language: German"
echo "[00:00.000 --> 00:01.500]  Guten Morgen"
echo '{"language": "de", "text": "", "segments": []}' >"$dir/${name:-$(basename "$wav" .wav)}.json"
"""


@pytest.mark.parametrize(
    ("engine", "program", "text"),
    [
        ("whisper.cpp", "whisper-cli", WHISPER_CLI),
        ("openai-whisper", "whisper", WHISPER),
        ("mlx-whisper", "mlx_whisper", WHISPER),
    ],
)
def test_programs_on_the_path_are_engines_too(desk: Desk, engine: str, program: str, text: str) -> None:
    """With the model, the language and files of their own; what they hear is told as it comes."""
    (desk.folder / "bin").mkdir()
    (desk.folder / "bin" / program).write_text(text)
    (desk.folder / "bin" / program).chmod(0o755)
    (desk.folder / "ggml-tiny.bin").touch()
    desk.env |= {"PATH": f"{desk.folder}/bin:{os.environ['PATH']}", "WHISPER_CPP_MODELS": str(desk.folder)}
    done = desk("transcribe", offers=engine, input="clip.mp4", model="tiny", format="json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["language"] == "de"
    assert told["segments"] == [{"start": 0.0, "end": 1.5, "text": told["text"]}]
    assert told["text"].startswith("Guten Morgen")
    assert "::progress loading the model tiny" in done.stderr


def test_a_model_that_is_not_there_is_said(desk: Desk) -> None:
    """With where to put it."""
    (desk.folder / "bin").mkdir()
    (desk.folder / "bin" / "whisper-cli").write_text(WHISPER_CLI)
    (desk.folder / "bin" / "whisper-cli").chmod(0o755)
    desk.env["PATH"] = f"{desk.folder}/bin:{os.environ['PATH']}"
    said = desk("transcribe", offers="whisper.cpp", input="clip.mp4", model="huge").stderr.splitlines()[-1]
    assert said.startswith("whisper.cpp has no model huge on mac-mini: put ggml-huge.bin")


def test_an_engine_that_breaks_says_why(desk: Desk) -> None:
    """Whatever it raises: here it is not installed after all."""
    said = desk.sentence("transcribe", offers="faster-whisper", input="clip.mp4")
    assert said == "faster-whisper failed on mac-mini: ModuleNotFoundError: No module named 'faster_whisper'"
