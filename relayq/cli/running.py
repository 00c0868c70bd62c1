"""A job that is submitted and stayed with to its end: what `run`, `transcode` and `transcribe` share."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from relayq.cli.attached import Cancelling, ended, show_output, tell_end
from relayq.cli.exits import NOBODY_READS, code_of, report
from relayq.errors import RelayqError

if TYPE_CHECKING:
    from relayq.cli.context import App
    from relayq.handle import JobHandle
    from relayq.model import Job, JobSpec, Result


def submit(app: App, spec: JobSpec, *, id: str | None, queue_anyway: bool) -> JobHandle:
    """Its handle. Interrupted meanwhile, the job is cancelled."""
    from relayq.client import new_id
    from relayq.spec import check_id

    app.stands_for_job = True
    id = check_id(id) if id else new_id()
    try:
        return app.client.submit([spec], queue_anyway=queue_anyway, ids=[id])[0]
    except KeyboardInterrupt:
        with suppress(RelayqError):  # it may have been queued just before
            app.client.store.cancel(id)
        raise


def foresee(app: App, spec: JobSpec, *, as_json: bool) -> int:
    """Say where it would run, machine by machine; the exit code."""
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


def stay(app: App, handle: JobHandle, *, as_json: bool, stream: int | None = None) -> tuple[Job | None, int]:
    """Show its output (`stream` alone, if given) or, at its end, one record; the record of its end, and the exit code.

    No record if nobody reads the output any more: the job is cancelled then.
    """
    with Cancelling(handle):
        if as_json:
            result = handle.result()
            job = ended(app, handle)
            _print_json(job, result)
        else:
            try:
                job = show_output(app, handle, stream=stream)
            except BrokenPipeError as error:
                with suppress(RelayqError):
                    handle.cancel()
                report(error)
                return None, NOBODY_READS
    tell_end(job, exit_codes=False)
    return job, code_of(job)


def _print_json(job: Job, result: Result) -> None:
    from relayq.cli.records import job_record, kept_record
    from relayq.cli.screen import say_json

    kept = len(result.stdout), len(result.stderr)
    output = {"stdout": result.stdout.decode("utf-8", "replace"), "stderr": result.stderr.decode("utf-8", "replace")}
    say_json(job_record(job) | kept_record(job, kept) | output)
