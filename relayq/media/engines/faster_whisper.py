"""Whisper by CTranslate2, on any processor: `pip install faster-whisper`."""

from __future__ import annotations

from collections.abc import Iterator

from relayq.media.engines import Speech, installed
from relayq.media.transcript import Segment


def found() -> bool:
    """As a package of this Python."""
    return installed("faster-whisper")


def listen(speech: Speech) -> Iterator[Segment]:
    """Its model is fetched when it is first used."""
    from faster_whisper import WhisperModel

    speech.say(f"loading the model {speech.model}")
    model = WhisperModel(speech.model, device="auto", compute_type="auto")
    said, info = model.transcribe(str(speech.wav), language=speech.language, vad_filter=True)
    speech.language = info.language
    for segment in said:
        yield Segment(float(segment.start), float(segment.end), segment.text.strip())
