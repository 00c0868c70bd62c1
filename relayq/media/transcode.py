"""One conversion from top to bottom: look at the input, encode aside, look at the output, give it its name."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relayq.kinds import transcode
from relayq.media import ffmpeg, trouble
from relayq.media.files import Aside, check_input
from relayq.media.probe import Facts, facts_of, named, the_ffmpeg
from relayq.media.telling import Telling
from relayq.media.trouble import Trouble, shown


def run(asked: Mapping[str, Any], workspace: Path) -> None:
    """Do it and print what came of it. Raises Trouble, OSError."""
    machine, input, output = asked["machine"], asked["input"], asked["output"]
    size = check_input(input, machine)
    with Aside(output, machine, input=input) as aside:
        program = the_ffmpeg(machine)
        before = facts_of(input, program)
        encoder = encode(asked, program, before, aside.path)
        after = facts_of(aside.path, program)
        written = aside.complete()
    report = {
        "input_bytes": size,
        "output_bytes": written,
        "duration": after.duration,
        "video_codec": after.video,
        "audio_codec": after.audio,
        "encoder": encoder,
    }
    print(json.dumps(report))  # noqa: T201  (its last line is what the worker reads)


def encode(asked: Mapping[str, Any], program: str, before: Facts, path: str) -> str | None:
    """Try what is to be tried until something works; the encoder that did, if we chose it. Raises Trouble."""
    telling = Telling()
    tries = asked["tries"]
    if before.video is None and before.audio is not None and tries[0]["encoder"]:
        tries = [{"encoder": None, "before": [], "after": tries[0]["sound"]}]
    for number, one in enumerate(tries, start=1):
        argv = [program, *ffmpeg.QUIET, "-y", "-progress", "pipe:1", *one["before"]]
        argv += ["-i", named(asked["input"]), *one["after"], path]
        ended = ffmpeg.run(argv, lambda told: telling.tell(transcode.progress(told, before.duration)))
        if ended.code == 0:
            check_whole(asked, before, ended)
            return str(one["encoder"]) if one["encoder"] else None
        why = trouble.of_ffmpeg(
            ended.said, ended.code, machine=asked["machine"], input=asked["input"], output=asked["output"]
        )
        if number == len(tries) or ended.seconds > 0:
            raise why
        sys.stderr.write(f"{one['encoder']} does not work for this ({why}); trying {tries[number]['encoder']}\n")
    raise Trouble("there was nothing to try")


def check_whole(asked: Mapping[str, Any], before: Facts, ended: ffmpeg.Ended) -> None:
    """Raise Trouble if the input broke off: ffmpeg converts what there is and calls that a success."""
    wanted = before.least if asked["whole"] else None
    if (why := trouble.broken_off(ended.said, ended.seconds, wanted)) is not None:
        raise Trouble(f"{shown(asked['input'])} is damaged or incomplete: {why}. Copy it again")
