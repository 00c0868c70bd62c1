"""`relayq map`: many commands at once, 500 a round trip."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from relayq.cli.context import App, pass_app
from relayq.cli.options import job_options, json_option, spec_options

if TYPE_CHECKING:
    from relayq.handle import JobHandle


@click.command("map")
@job_options
@click.option("--file", "file", metavar="FILE|-", help="The file to read lines of, instead of standard input.")
@click.option("--wait", "wait", is_flag=True, help="Wait for all, and print ID STATE EXIT as each ends.")
@json_option
@click.argument("words", nargs=-1, metavar="[TEMPLATE [-- ITEM…]]", type=click.UNPROCESSED)
@pass_app
def command(app: App, /, words: tuple[str, ...], file: str | None, wait: bool, as_json: bool, **given: Any) -> int:
    """Queue many commands with the same options; print their ids in order.

    \b
    relayq map < commands.txt              one command a line
    relayq map 'gzip -9 {}' -- a.log b.log
    ls *.log | relayq map 'gzip -9 {}'     one item a line

    {} stands for the item, quoted for the shell; without {} it is put at the end. Empty lines are skipped.

    With --wait the exit code is 1 if any job did not succeed. --json prints one object a line: {"id": …}, or with
    --wait a Job.
    """
    from relayq.cli.screen import message, say, say_json
    from relayq.spec import make_spec

    if given["script"] is not None:
        raise click.UsageError("map takes commands, no --script")
    commands = [_filled(words[0], item) for item in words[1:] or _lines(file)] if words else list(_lines(file))
    options = spec_options(given)
    specs = [make_spec(text, **options) for text in commands]
    if not specs:
        message("no commands were given, so nothing was queued")
        return 0
    handles = app.client.submit(specs, queue_anyway=given["queue_anyway"])
    if wait:
        return _wait(app, handles, as_json)
    for handle in handles:
        if as_json:
            say_json({"id": handle.id})
        else:
            say(handle.id)
    return 0


def _filled(template: str, item: str) -> str:
    quoted = shlex.quote(item)
    return template.replace("{}", quoted) if "{}" in template else f"{template} {quoted}"


def _lines(file: str | None) -> Iterator[str]:
    if file is None or file == "-":
        if sys.stdin.isatty():
            from relayq.cli.screen import message

            message("reading lines from the terminal; end with Ctrl-D")
        data = sys.stdin.buffer.read()
    else:
        try:
            data = Path(file).read_bytes()
        except OSError as error:
            raise click.UsageError(f"cannot read {file}: {error.strerror}") from None
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise click.UsageError(f"line {number} is not text in UTF-8, so nothing was queued") from None
    return (line.rstrip("\r") for line in text.split("\n") if line.strip())


def _wait(app: App, handles: Sequence[JobHandle], as_json: bool) -> int:
    from relayq.cli.attached import ended
    from relayq.cli.exits import NEGATIVE, code_of
    from relayq.cli.records import job_record
    from relayq.cli.screen import message, say, say_json

    app.be_patient()
    failed = 0
    try:
        for handle in app.client.as_completed(handles):
            job = ended(app, handle)
            failed += code_of(job) != 0
            if as_json:
                say_json(job_record(job))
            else:
                say(f"{job.id} {job.state} {code_of(job)}")
    except KeyboardInterrupt:
        message("left; the jobs go on. See: relayq list")
        raise
    if failed:
        message(f"{failed} of {len(handles)} jobs did not succeed")
    return NEGATIVE if failed else 0
