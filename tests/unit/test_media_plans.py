"""What is decided before anything runs: arguments, engines, how far it is, how a transcript is written down."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relayq.errors import BadSpec
from relayq.kinds import Machine, encoders, get_kind, transcode, transcribe
from relayq.media.engines import mlx_whisper, whisper_output
from relayq.media.probe import Facts, from_ffmpeg, from_ffprobe
from relayq.media.transcript import Segment, Transcript, written
from relayq.params import CODECS, ENGINES, HARDWARE, PRESETS, format_of
from relayq.progress import Progress
from relayq.spec import make_spec

MAC = frozenset(
    {"encoder:libx264", "encoder:h264_videotoolbox", "encoder:hevc_videotoolbox", "mlx-whisper", "arch:arm64"}
)


def asked(kind: str, params: dict[str, Any], *offers: str) -> dict[str, Any]:
    """What the process of such a job is told."""
    plan = get_kind(kind).plan(
        make_spec(kind=kind, params=params), Machine(name="mac-mini", offers=frozenset(offers), python="py")
    )
    assert plan.argv == ("py", "-X", "utf8", "-P", "-m", "relayq.media", "{workspace}/request.json")
    told: dict[str, Any] = json.loads(plan.files["request.json"])
    return told


def tried(params: dict[str, Any], *offers: str) -> list[str | None]:
    return [
        one["encoder"] for one in asked("transcode", {"input": "a.mov", "output": "b.mp4", **params}, *offers)["tries"]
    ]


# ── transcode ──


def test_fast_takes_the_hardware_first_and_quality_the_processor() -> None:
    """Of what works on that machine; the others come after, should it fail for this file."""
    assert tried({"preset": "fast"}, *MAC) == ["h264_videotoolbox", "libx264"]
    assert tried({"preset": "quality"}, *MAC) == ["libx264", "h264_videotoolbox"]
    assert tried({}, *MAC) == ["libx264", "h264_videotoolbox"]
    assert tried({"codec": "h265", "preset": "fast"}, *MAC) == ["hevc_videotoolbox"]
    assert tried({"preset": "fast"}, "encoder:libx264") == ["libx264"]
    assert tried({"preset": "fast"}) == ["libx264"]  # it has not told yet


def test_a_machine_without_a_working_encoder_says_so() -> None:
    """With the names of those that would do."""
    with pytest.raises(ValueError, match="no encoder for h265 works there"):
        tried({"codec": "h265"}, "encoder:libx264")


def test_options_of_1x_are_respected_exactly() -> None:
    """As shell words, and nothing is added to them."""
    told = asked("transcode", {"input": "-in 'a'\n.mov", "output": "ü/$b.mp4", "options": "-vf 'scale=2:2, x' -crf 23"})
    assert told["tries"] == [{"encoder": None, "before": [], "after": ["-vf", "scale=2:2, x", "-crf", "23"]}]
    assert (told["input"], told["output"]) == ("-in 'a'\n.mov", "ü/$b.mp4")
    assert tried({"options": ""}, *MAC) == [None]


def test_other_containers_are_left_to_ffmpeg() -> None:
    """Which knows that a WebM has no H.264 in it."""
    assert tried({"output": "b.webm"}, *MAC) == [None]
    assert tried({"output": "b.mp3"}, *MAC) == [None]
    assert tried({"output": "b.webm", "codec": "h264"}, *MAC)[0] == "libx264"


@pytest.mark.parametrize(
    ("options", "whole"),
    [("-c:v libx264 -crf 23", True), ("", True), ("-t 5", False), ("-ss 3 -c copy", False), ("-vf setpts=PTS/2", False),
     ("-filter:v fps=5", False), ("-frames:v 1", False)],
)  # fmt: skip
def test_an_output_may_be_shorter_only_if_that_was_asked(options: str, whole: bool) -> None:
    """Otherwise the input broke off."""
    assert asked("transcode", {"input": "a", "output": "b.mp4", "options": options})["whole"] is whole


def test_each_encoder_has_arguments_for_each_preset() -> None:
    """And the last of each codec is the processor's own."""
    for codec in CODECS:
        *hardware, own = encoders.ENCODERS[codec]
        assert HARDWARE[codec] == tuple(encoder.name for encoder in hardware)
        assert not own.hardware
        assert all(encoder.hardware for encoder in hardware)
        for preset in PRESETS:
            every = frozenset(f"encoder:{e.name}" for e in (*hardware, own))
            chosen = encoders.candidates(codec, preset, every)
            assert len(chosen) == len(every)
            assert (chosen[0] is own) == (preset == "quality")


def test_progress_has_percent_speed_and_what_is_left() -> None:
    """From a block of `-progress`; what ffmpeg does not know yet is left out."""
    told = {"out_time_us": "42000000", "fps": "118.20", "speed": "3.9x", "progress": "continue"}
    assert transcode.progress(told, 100.0) == Progress(0.42, "118 fps, 3.9×, 0:15 left")
    assert transcode.progress({"out_time_us": "N/A", "speed": "N/A", "fps": "0.00"}, 100.0) == Progress(0.0)
    assert transcode.progress(told, None) == Progress(None, "118 fps, 3.9×")
    assert transcode.progress({"out_time_us": "99990000", "progress": "end"}, 100.0) == Progress(1.0)
    assert transcode.progress({"out_time_us": "120000000", "progress": "continue"}, 100.0).fraction == 0.999
    assert transcode.clock(7323.4) == "2:02:03"


def test_the_value_keeps_the_keys_of_1x() -> None:
    """Whatever the process has reported beside them."""
    spec = make_spec(kind="transcode", params={"input": "a", "output": "b.mp4"})
    assert transcode.value(spec, '{"output_bytes": 7}') == {"status": "success", "output": "b.mp4", "output_bytes": 7}
    assert transcode.value(spec, "") == {"status": "success", "output": "b.mp4"}


# ── transcribe ──


def test_the_engine_is_the_best_that_is_there() -> None:
    """Apple's first; one that knows only English is not asked for German."""

    def engine(offers: set[str], **params: str) -> Any:
        return asked("transcribe", {"input": "a.mp3", **params}, *offers)["engine"]

    assert engine(set(ENGINES)) == "mlx-whisper"
    assert engine({"pocketsphinx", "faster-whisper"}) == "faster-whisper"
    assert engine({"pocketsphinx", "faster-whisper"}, engine="pocketsphinx") == "pocketsphinx"
    assert engine({"pocketsphinx"}, language="en") == "pocketsphinx"
    assert engine({"whisper.cpp", "faster-whisper"}) == "faster-whisper"  # the other has no model, and fetches none
    assert engine({"whisper.cpp", "whisper.cpp:base", "faster-whisper"}) == "whisper.cpp"
    assert engine({"whisper.cpp", "whisper.cpp:large-v3-turbo", "faster-whisper"}, model="turbo") == "whisper.cpp"
    assert engine({"whisper.cpp"}) == "whisper.cpp"
    with pytest.raises(ValueError, match=r"pocketsphinx only knows English.*py -m pip install faster-whisper"):
        engine({"pocketsphinx"}, language="de")
    with pytest.raises(ValueError, match=r"mac-mini has no openai-whisper. Install it there: py -m pip install openai"):
        engine({"pocketsphinx"}, engine="openai-whisper")
    with pytest.raises(ValueError, match=r"mac-mini has nothing that turns speech into text. Install an engine"):
        engine(set())


def test_what_a_machine_must_have_follows_from_what_is_asked() -> None:
    """Beside what was said of it."""
    assert make_spec(kind="transcribe", params={"input": "a"}, needs=["heavy"]).needs == ("heavy", "transcribe")
    talk = make_spec(kind="transcribe", params={"input": "a", "engine": "whisper.cpp"})
    assert (talk.needs, talk.max_output_bytes) == (("whisper.cpp",), 8 << 20)
    assert make_spec(kind="transcribe", params={"input": "a"}, max_output_bytes=9).max_output_bytes == 9
    assert talk.prefer == ("whisper.cpp:base",)
    assert "mlx-whisper:small" in make_spec(kind="transcribe", params={"input": "a", "model": "small"}).prefer
    assert make_spec(kind="transcribe", params={"input": "a", "model": "/models/x y"}).prefer == ()
    fast = make_spec(kind="transcode", params={"input": "a", "output": "b", "preset": "fast"}, needs="mac")
    assert fast.needs == ("mac", "transcode")
    assert fast.prefer[0] == "encoder:h264_videotoolbox"
    h265 = make_spec(kind="transcode", params={"input": "a", "output": "b", "codec": "h265"})
    assert h265.needs == ("transcode", "encoder:libx265")
    assert make_spec(kind="transcode", params={"input": "a", "output": "b"}, prefer=["nas"]).prefer == ("nas",)


def test_the_format_is_asked_for_or_the_outputs() -> None:
    """A name with another ending is plain text."""
    assert [format_of({"output": name}) for name in (None, "a.srt", "a.VTT", "a.md", "srt")] == [
        "txt",
        "srt",
        "vtt",
        "txt",
        "txt",
    ]
    assert format_of({"output": "a.srt", "format": "json"}) == "json"


@pytest.mark.parametrize(
    ("kind", "params", "words"),
    [
        ("transcode", {"input": "a"}, "output must be a str"),
        ("transcode", {"input": "", "output": "b"}, "input is empty"),
        (
            "transcode",
            {"input": "a", "output": "b", "preset": "best"},
            "preset is 'best'; it must be one of: quality, fast",
        ),
        ("transcode", {"input": "a", "output": "b", "codec": "av1"}, "codec is 'av1'"),
        ("transcode", {"input": "a", "output": "b", "options": "-crf '23"}, "close every quote"),
        ("transcode", {"input": "a", "output": "b", "options": "-an", "codec": "h264"}, "give either options or codec"),
        ("transcode", {"input": "a\0", "output": "b"}, "NUL"),
        ("transcode", {"input": "a\udcff", "output": "b"}, "no UTF-8"),
        ("transcribe", {"input": "a", "format": "pdf"}, "format is 'pdf'"),
        ("transcribe", {"input": "a", "engine": "siri"}, "engine is 'siri'"),
        ("transcribe", {"input": "a", "mode": "x"}, "no option called 'mode'"),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_written(kind: str, params: dict[str, Any], words: str) -> None:
    """In one sentence."""
    with pytest.raises(BadSpec, match=words.replace("(", r"\(")):
        make_spec(kind=kind, params=params)


SAID = Transcript(
    segments=[Segment(0.0, 1.5, "good morning"), Segment(3661.25, 3662.0004, "a < b & c")],
    language="en",
    engine="pocketsphinx",
    model="base",
)


def test_transcripts_are_written_in_four_formats() -> None:
    """As players and programs expect them."""
    assert written(SAID, "txt") == "good morning\na < b & c\n"
    assert written(SAID, "srt") == (
        "1\n00:00:00,000 --> 00:00:01,500\ngood morning\n\n2\n01:01:01,250 --> 01:01:02,000\na < b & c\n"
    )
    assert written(SAID, "vtt") == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\ngood morning\n\n01:01:01.250 --> 01:01:02.000\na &lt; b &amp; c\n"
    )
    data = json.loads(written(SAID, "json"))
    assert data["text"] == "good morning\na < b & c"
    assert data["language"] == "en"
    assert data["segments"][0] == {"start": 0.0, "end": 1.5, "text": "good morning"}
    assert written(SAID, "json").count("\n") == 1


def test_how_far_a_transcript_is_is_told_by_its_last_words() -> None:
    """In the time of the recording."""
    assert transcribe.progress(42.0, 100.0) == Progress(0.42, "0:42 of 1:40")
    assert transcribe.progress(42.0, None) == Progress(None, "0:42")


def test_whisper_prints_its_segments(capsys: pytest.CaptureFixture[str]) -> None:
    """What else it prints is for people."""
    lines = [
        "Detected language: English\n",
        "[00:00.000 --> 00:04.500]  Hello there.\n",
        "[01:00:00.000 --> 01:00:01.000] x",
    ]
    assert list(whisper_output.segments(lines)) == [Segment(0.0, 4.5, "Hello there."), Segment(3600.0, 3601.0, "x")]
    assert capsys.readouterr().err == "Detected language: English\n"


def test_a_models_name_is_where_mlx_has_it() -> None:
    """A folder or repository stays what it is."""
    assert mlx_whisper.repository_of("small.en") == "mlx-community/whisper-small.en-mlx"
    assert mlx_whisper.repository_of("large") == "mlx-community/whisper-large-v3-mlx"
    assert mlx_whisper.repository_of("me/mine") == "me/mine"


# ── what is in a file ──

BY_FFMPEG = """
Input #0, matroska,webm, from 'a Duration: 00:00:01.00.mkv':
  Duration: 01:00:10.04, start: 0.000000, bitrate: 100 kb/s
  Stream #0:0(und): Video: h264 (High) (avc1 / 0x31637661), yuv420p, 320x240, 25 fps
  Stream #0:1[0x2](eng): Audio: aac (LC) (mp4a / 0x6134706D), 44100 Hz, mono
  Stream #0:2: Video: mjpeg (Baseline), yuvj420p(pc), 600x600, 90k tbr (attached pic)
At least one output file must be specified
"""


def test_facts_are_read_from_ffprobe_and_from_ffmpeg() -> None:
    """A picture of the cover is no video."""
    assert from_ffmpeg(BY_FFMPEG) == Facts(3610.04, "h264", "aac", 3610.04, None)
    assert from_ffmpeg("x: Invalid data found when processing input") == Facts()
    cover = {"codec_type": "video", "codec_name": "mjpeg", "disposition": {"attached_pic": 1}}
    sound = {"codec_type": "audio", "codec_name": "mp3"}
    told = {"streams": [cover, sound], "format": {"duration": "2.5"}}
    assert from_ffprobe(json.dumps(told)) == Facts(2.5, None, "mp3", 2.5, 2.5)
    assert from_ffprobe("") == Facts()


def test_an_input_need_last_only_as_long_as_its_pictures_and_sound() -> None:
    """Subtitles, chapters or a second sound track may go on; a stream that does not tell leaves the whole."""

    def least(*streams: dict[str, Any]) -> float | None:
        return from_ffprobe(json.dumps({"streams": streams, "format": {"duration": "20"}})).least

    video = {"codec_type": "video", "duration": "10.0"}
    matroska = {"codec_type": "audio", "tags": {"DURATION": "00:00:12.000000000"}}
    assert least(video, {"codec_type": "subtitle", "duration": "20"}) == 10
    assert least(video, matroska) == 12
    assert least(video, matroska, {"codec_type": "audio", "duration": "9"}) == 10
    assert least(video, {"codec_type": "audio"}) == 20
