"""What was said when, and how that is written down: as text, as subtitles, as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Segment:
    """Some words, and from which second to which they were said."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Transcript:
    """All that was said."""

    segments: Sequence[Segment]
    language: str | None
    engine: str
    model: str

    @property
    def text(self) -> str:
        """The words alone, a segment a line."""
        return "\n".join(segment.text for segment in self.segments)


def written(transcript: Transcript, format: str) -> str:
    """The transcript as txt, srt, vtt or json."""
    return {"txt": _txt, "srt": _srt, "vtt": _vtt, "json": _json}[format](transcript)


def _txt(transcript: Transcript) -> str:
    return f"{transcript.text}\n"


def _srt(transcript: Transcript) -> str:
    cues = [
        f"{number}\n{_time(segment.start, ',')} --> {_time(segment.end, ',')}\n{segment.text}\n"
        for number, segment in enumerate(transcript.segments, start=1)
    ]
    return "\n".join(cues)


def _vtt(transcript: Transcript) -> str:
    cues = [
        f"{_time(segment.start, '.')} --> {_time(segment.end, '.')}\n{_escaped(segment.text)}\n"
        for segment in transcript.segments
    ]
    return "\n".join(["WEBVTT\n", *cues])


def _json(transcript: Transcript) -> str:
    """In one line, as Whisper has it: text, language, segments."""
    data = {
        "text": transcript.text,
        "language": transcript.language,
        "engine": transcript.engine,
        "model": transcript.model,
        "segments": [{"start": s.start, "end": s.end, "text": s.text} for s in transcript.segments],
    }
    return json.dumps(data, ensure_ascii=False) + "\n"


def _time(seconds: float, point: str) -> str:
    whole, thousandths = divmod(round(max(0.0, seconds) * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{point}{thousandths:03}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
