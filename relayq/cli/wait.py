"""`relayq wait`: until jobs have ended."""

from __future__ import annotations

import click

from relayq.cli.complete import complete_job
from relayq.cli.context import App, pass_app
from relayq.cli.options import DURATION, json_option


@click.command("wait")
@click.argument("ids", nargs=-1, required=True, metavar="ID…", shell_complete=complete_job)
@click.option("--timeout", type=DURATION, help="Wait no longer; the jobs go on. [default: for ever]")
@json_option
@pass_app
def command(app: App, ids: tuple[str, ...], timeout: float | None, as_json: bool) -> int:
    """Wait until all these jobs have ended, and exit as the job does.

    Exit codes as for `relayq run`; of several jobs the first that is not 0, in the order given. 1 also if --timeout
    passed before (a sentence says so), 255 for what is not the job's doing, such as an unknown id. --json prints each
    Job in a line as it ends.
    """
    from relayq.cli.attached import ended, tell_end
    from relayq.cli.exits import code_of
    from relayq.cli.records import job_record
    from relayq.cli.screen import say_json

    app.stands_for_job = True
    handles = [app.job(id) for id in ids]
    app.be_patient()
    codes = {}
    for handle in app.client.as_completed(handles, timeout):
        job = ended(app, handle)
        codes[job.id] = code_of(job)
        if as_json:
            say_json(job_record(job))
        tell_end(job, exit_codes=True)
    return next((codes[handle.id] for handle in handles if codes[handle.id]), 0)
