"""A small engine without a model to fetch: English only, and far less able than Whisper; `pip install pocketsphinx`."""

from __future__ import annotations

from collections.abc import Iterator

from relayq.media.engines import RATE, Speech, installed
from relayq.media.transcript import Segment


def found() -> bool:
    """As a package of this Python."""
    return installed("pocketsphinx")


def listen(speech: Speech) -> Iterator[Segment]:
    """What is said between two silences is a segment."""
    from pocketsphinx import Decoder, Segmenter

    decoder = Decoder(samprate=RATE, loglevel="FATAL")
    speech.language = "en"
    with speech.wav.open("rb") as sound:
        sound.seek(44)  # behind the header
        for part in Segmenter(sample_rate=RATE).segment(sound):
            decoder.start_utt()
            decoder.process_raw(part.pcm, full_utt=True)
            decoder.end_utt()
            heard = decoder.hyp()
            if heard is not None and heard.hypstr:
                yield Segment(part.start_time, part.end_time, heard.hypstr)
