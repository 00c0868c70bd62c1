"""`relayq run`: a command on the right machine, as if it ran here."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from relayq.cli.context import App, pass_app
from relayq.cli.options import command_of, job_options, json_option, spec_options
from relayq.errors import RelayqError

if TYPE_CHECKING:
    from relayq.model import Job, JobSpec, Result


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
    from relayq.cli.attached import Cancelling, ended, show_output, tell_end
    from relayq.cli.exits import NOBODY_READS, code_of, report
    from relayq.client import new_id
    from relayq.spec import check_id, make_spec

    app.stands_for_job = not dry_run
    spec = make_spec(command_of(words, given), **spec_options(given))
    if dry_run:
        return _foresee(app, spec, as_json)
    id = check_id(id) if id else new_id()
    try:
        [handle] = app.client.submit([spec], queue_anyway=given["queue_anyway"], ids=[id])
    except KeyboardInterrupt:
        with suppress(RelayqError):  # it may have been queued just before
            app.client.store.cancel(id)
        raise
    with Cancelling(handle):
        if as_json:
            result = handle.result()
            job = ended(app, handle)
            _print_json(job, result)
        else:
            try:
                job = show_output(app, handle)
            except BrokenPipeError as error:
                with suppress(RelayqError):
                    handle.cancel()
                report(error)
                return NOBODY_READS
    tell_end(job, exit_codes=False)
    return code_of(job)


def _foresee(app: App, spec: JobSpec, as_json: bool) -> int:
    from relayq.cli.exits import NEGATIVE
    from relayq.cli.records import forecast_record
    from relayq.cli.screen import say, say_json

    assert app.store  # a broker that is away is an answer
    forecast = app.client.foresee_spec(spec)
    if as_json:
        say_json(forecast_record(forecast))
    else:
        say(str(forecast))
    return NEGATIVE if forecast.refused else 0


def _print_json(job: Job, result: Result) -> None:
    from relayq.cli.records import job_record, kept_record
    from relayq.cli.screen import say_json

    kept = len(result.stdout), len(result.stderr)
    output = {"stdout": result.stdout.decode("utf-8", "replace"), "stderr": result.stderr.decode("utf-8", "replace")}
    say_json(job_record(job) | kept_record(job, kept) | output)
