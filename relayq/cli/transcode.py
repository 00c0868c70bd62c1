"""`relayq transcode`: a video into another, on a machine that has ffmpeg."""

from __future__ import annotations

from typing import Any

import click

from relayq.cli.context import App, pass_app
from relayq.cli.options import json_option, media_options, spec_options
from relayq.params import CODECS, PRESETS


@click.command("transcode")
@click.argument("input")
@click.argument("output")
@click.option(
    "--preset", type=click.Choice(PRESETS), help="The processor's encoder or the hardware's. [default: quality]"
)
@click.option("--codec", type=click.Choice(CODECS), help="[default: h264]")
@click.option("--options", metavar="TEXT", help="Exactly these for ffmpeg instead, such as '-c:v libx265 -crf 28'.")
@media_options
@json_option
@pass_app
def command(app: App, /, input: str, output: str, id: str | None, detach: bool, as_json: bool, **given: Any) -> int:
    """Convert the video INPUT to OUTPUT with ffmpeg; both are files of the machine that does it.

    \b
    relayq transcode /videos/in.mov /videos/out.mp4
    relayq transcode --preset fast --codec h265 in.mov out.mp4
    relayq transcode --options '-c:v libx264 -crf 23' in.mov out.mp4

    How far it is moves a bar. OUTPUT takes its name when it is complete, and is never the input. On a Mac or a machine
    with a graphics card "fast" uses that. Exit codes and Ctrl-C as with `relayq run`.

    --json prints, at the end, one Job with Kept; its "value" has status, output, input_bytes, output_bytes, duration
    (seconds), video_codec, audio_codec, encoder.
    """
    from relayq.cli.running import foresee, stay, submit
    from relayq.cli.screen import say
    from relayq.spec import make_spec

    app.stands_for_job = not given["dry_run"]
    params = {"input": input, "output": output} | {name: given[name] for name in ("options", "preset", "codec")}
    spec = make_spec(None, kind="transcode", params=params, **spec_options(given))
    if given["dry_run"]:
        return foresee(app, spec, as_json=as_json)
    handle = submit(app, spec, id=id, queue_anyway=given["queue_anyway"])
    if detach:
        say(handle.id)
        return 0
    job, code = stay(app, handle, as_json=as_json, stream=2)
    outcome = job.attempt.outcome if job is not None and job.attempt else None
    if not as_json and outcome is not None and outcome.value:
        say(_told(outcome.value))
    return code


def _told(value: dict[str, Any]) -> str:
    """What came of it, in a line."""
    from relayq.kinds.transcode import clock

    size = _size(value.get("output_bytes"))
    if size and value.get("input_bytes"):
        size += f" instead of {_size(value['input_bytes'])}"
    took = clock(value["duration"]) if value.get("duration") else ""
    codecs = " and ".join(name for name in (value.get("video_codec"), value.get("audio_codec")) if name)
    return f"{value['output']}: {', '.join(word for word in (size, took, codecs) if word)}"


def _size(bytes: int | None) -> str:
    return "" if bytes is None else f"{bytes / 1e6:.1f} MB"
