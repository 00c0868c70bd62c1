"""`relayq logs`: a job's output, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from relayq.cli.complete import complete_job
from relayq.cli.context import App, pass_app
from relayq.cli.options import json_option

if TYPE_CHECKING:
    from relayq.model import Job

KEPT = 2  #: attempts of a job whose output a store keeps: the last, and the one before


@click.command("logs")
@click.argument("id", shell_complete=complete_job)
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends, and exit as it does.")
@click.option("--stdout", "stream", flag_value=1, type=int, help="Only its standard output.")
@click.option("--stderr", "stream", flag_value=2, type=int, help="Only its standard error.")
@click.option("--tail", type=click.IntRange(0), metavar="N", help="Only the last N lines of what there is.")
@click.option(
    "--attempt",
    type=click.IntRange(1),
    metavar="N",
    help="Of this attempt; with -f from it on. [default: the current one]",
)
@json_option
@pass_app
def command(
    app: App, id: str, follow: bool, stream: int | None, tail: int | None, attempt: int | None, as_json: bool
) -> int:
    """Print a job's output: stdout to stdout, stderr to stderr, as it was written.

    With -f the exit codes are those of `relayq run`; Ctrl-C leaves, and the job goes on. --json prints one Piece a
    line.
    """
    from relayq.cli.attached import Copied, ended, follow_output, tell_end
    from relayq.cli.exits import NEGATIVE, code_of
    from relayq.cli.records import piece_record
    from relayq.cli.screen import message, say_json

    app.stands_for_job = follow
    handle = app.job(id)
    there = attempt is None or _kept(handle.job(), attempt)
    pieces = handle.pieces(follow=follow, stream=stream, attempt=attempt, tail=tail)
    if not there:
        message(f"the output of attempt {attempt} is not kept any more: only that of the last {KEPT} attempts is")
    if as_json:
        if follow:
            handle.expect()
            app.be_patient()
        for _, chunk in pieces:
            say_json(piece_record(chunk))
        if follow:
            return code_of(ended(app, handle))
    elif follow:
        job = follow_output(app, handle, pieces, stream=stream, whole=tail is None)
        tell_end(job, exit_codes=False)
        return code_of(job)
    elif there:
        copied = Copied(stream=stream, whole=tail is None)
        copied.write(pieces)
        job = handle.job()
        copied.tell_missing(job, next((a for a in job.attempts if a.number == attempt), job.attempt))
    return 0 if there else NEGATIVE


def _kept(job: Job, attempt: int) -> bool:
    """Whether the output of this attempt may be kept. Raises UsageError if there is no such attempt."""
    numbers = [there.number for there in job.attempts]
    if attempt not in numbers:
        had = f"its last is attempt {numbers[-1]}" if numbers else "it has had none"
        raise click.UsageError(f"job {job.id} has no attempt {attempt}: {had}. See: relayq show {job.id}")
    return attempt > numbers[-1] - KEPT
