"""`relayq cancel`: end jobs."""

from __future__ import annotations

import click

from relayq.cli.complete import complete_job
from relayq.cli.context import App, pass_app
from relayq.cli.options import json_option


@click.command("cancel")
@click.argument("ids", nargs=-1, required=True, metavar="ID…", shell_complete=complete_job)
@json_option
@pass_app
def command(app: App, ids: tuple[str, ...], as_json: bool) -> int:
    """End jobs: a waiting one at once, a running one within its kill grace (`relayq wait` waits for that).

    Exits with 1 if one had ended otherwise before, with 3 if an id is unknown or ambiguous; the others are ended all
    the same. --json prints one Job a line.
    """
    from relayq.cli.exits import NEGATIVE
    from relayq.cli.records import job_record
    from relayq.cli.screen import message, say_json
    from relayq.model import State
    from relayq.monitoring import ending

    handles, code = app.jobs(ids)
    for handle in handles:
        before = handle.job()
        job = handle.cancel()
        if as_json:
            say_json(job_record(job))
        if before.state.ended:
            message(f"job {job.id} has ended already: it {ending(job)}")
            code = code if job.state is State.CANCELLED else max(code, NEGATIVE)
        elif job.state.ended:
            message(f"job {job.id} {ending(job)}")
        else:
            message(f"job {job.id} is being ended on {job.worker}")
    return code
