"""`relayq transcribe`: speech into text, on a machine that has an engine for it."""

from __future__ import annotations

from typing import Any

import click

from relayq.cli.context import App, pass_app
from relayq.cli.options import json_option, media_options, spec_options
from relayq.params import ENGINES, FORMATS, MODEL


@click.command("transcribe")
@click.argument("file")
@click.option("-o", "--output", metavar="FILE", help="Write it into this file of that machine instead of showing it.")
@click.option("--format", type=click.Choice(FORMATS), help="[default: as the output's name ends, else txt]")
@click.option("--language", metavar="CODE", help="Such as de. [default: found out]")
@click.option("--model", help=f"Of Whisper: tiny, base, small, medium, large-v3, turbo; or a path. [default: {MODEL}]")
@click.option("--engine", type=click.Choice(ENGINES), help="[default: the first of these that the machine has]")
@media_options
@json_option
@pass_app
def command(
    app: App, /, file: str, output: str | None, id: str | None, detach: bool, as_json: bool, **given: Any
) -> int:
    """Turn the speech in FILE (sound or video, on the machine that does it) into text.

    \b
    relayq transcribe /talks/monday.mp3
    relayq transcribe --language de --model small -o talk.srt talk.mp4

    It goes to a machine with an engine: MLX Whisper, whisper.cpp, faster-whisper, OpenAI's Whisper or pocketsphinx.
    Where there is none, it is refused with what to install. Exit codes and Ctrl-C as with `relayq run`.

    --json prints, at the end, one Job with Kept and its output as "stdout" and "stderr".
    """
    from relayq.cli.running import foresee, stay, submit
    from relayq.cli.screen import message, say
    from relayq.spec import make_spec

    app.stands_for_job = not given["dry_run"]
    params = {"input": file, "output": output}
    params |= {name: given[name] for name in ("format", "language", "model", "engine")}
    spec = make_spec(None, kind="transcribe", params=params, **spec_options(given))
    if given["dry_run"]:
        return foresee(app, spec, as_json=as_json)
    handle = submit(app, spec, id=id, queue_anyway=given["queue_anyway"])
    if detach:
        say(handle.id)
        return 0
    job, code = stay(app, handle, as_json=as_json, stream=2 if output else None)
    if job is not None and output and code == 0 and not as_json:
        message(f"{output} is written on {job.worker}")
    return code
