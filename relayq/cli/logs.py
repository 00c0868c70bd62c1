"""`relayq logs`: a job's output, byte for byte."""

from __future__ import annotations

import click

from relayq.cli.complete import complete_job
from relayq.cli.context import App, pass_app
from relayq.cli.options import json_option


@click.command("logs")
@click.argument("id", shell_complete=complete_job)
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends, and exit as it does.")
@click.option("--stdout", "stream", flag_value=1, type=int, help="Only its standard output.")
@click.option("--stderr", "stream", flag_value=2, type=int, help="Only its standard error.")
@json_option
@pass_app
def command(app: App, id: str, follow: bool, stream: int | None, as_json: bool) -> int:
    """Print a job's output: stdout to stdout, stderr to stderr, as it was written.

    With -f the exit codes are those of `relayq run`; Ctrl-C leaves, and the job goes on. --json prints one Piece a
    line.
    """
    from relayq.cli.attached import copy, ended, show_output, tell_end
    from relayq.cli.exits import code_of
    from relayq.cli.records import piece_record
    from relayq.cli.screen import message, say_json

    app.stands_for_job = follow
    handle = app.job(id)
    if as_json:
        if follow:
            handle.expect()
            app.be_patient()
        for chunk in handle.chunks(follow=follow):
            if stream in (None, chunk.stream):
                say_json(piece_record(chunk))
        return code_of(ended(app, handle)) if follow else 0
    if follow:
        job = show_output(app, handle, stream=stream)
        tell_end(job, exit_codes=False)
        return code_of(job)
    copy(handle.chunks(), stream=stream)
    if handle.job().output_dropped:
        message(f"the output of {handle.id} was removed, to keep the output of all jobs within its budget")
    return 0
