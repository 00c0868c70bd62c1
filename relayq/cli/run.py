"""`relayq run`: a command on the right machine, as if it ran here."""

from __future__ import annotations

from typing import Any

import click

from relayq.cli.context import App, pass_app
from relayq.cli.options import command_of, job_options, json_option, spec_options


@click.command("run", context_settings={"allow_interspersed_args": False})
@job_options
@click.option("--id", metavar="ID", help="The job's id: the same id again is the same job.")
@click.option("--dry-run", is_flag=True, help="Only say where it would run, machine by machine; run nothing.")
@json_option
@click.argument("words", nargs=-1, metavar="-- COMMAND…", type=click.UNPROCESSED)
@pass_app
def command(app: App, /, words: tuple[str, ...], id: str | None, dry_run: bool, as_json: bool, **given: Any) -> int:
    """Run a command on the right machine; show its output and exit as it does.

    One word after -- is given to /bin/sh -c, several are the exact argv:

    \b
    relayq run -- 'df -h | head'
    relayq run --on mac-mini --timeout 2h -- ffmpeg -i in.mov out.mp4

    Files do not travel: paths are the worker's, and it starts in its user's home folder. Ctrl-C (and TERM) cancels the
    job and waits for its end; a second one leaves it. If nobody reads the output any more, the job is cancelled too.

    Exits with the job's code, 128+N if signal N ended it, 124 timed out, 130 cancelled, 125 lost, not started or
    waited too long. 2: wrong usage, nothing was asked of the broker. 255: all else that is not the job's doing, such as
    a broker that does not answer (after `submit_patience`) or no worker that could run it.

    --dry-run exits with 0, or with 1 if no known worker could ever run it. Its --json prints {"sentence", "lane",
    "refused", "order": [names, first to be chosen first], "machines": {name: sentence}}.

    --json prints, at the end, one Job with Kept and its output as "stdout" and "stderr" (text; what is no UTF-8 is
    replaced).
    """
    from relayq.cli.running import foresee, stay, submit
    from relayq.spec import make_spec

    app.stands_for_job = not dry_run
    spec = make_spec(command_of(words, given), **spec_options(given))
    if dry_run:
        return foresee(app, spec, as_json=as_json)
    handle = submit(app, spec, id=id, queue_anyway=given["queue_anyway"])
    return stay(app, handle, as_json=as_json)[1]
