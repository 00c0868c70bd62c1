"""The Celery tasks a worker answers: the ring, and the tasks of 1.x. Importing it makes the Celery application.

`celery -A relayq.tasks worker --concurrency=2 --hostname=mac-mini@%h` starts a worker, as in 1.x; `relayq worker` too.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from celery import signals
from celery.exceptions import Ignore
from celery.worker.control import control_command

from relayq import broker
from relayq.client import open_store
from relayq.config import load
from relayq.errors import BrokerRefused, BrokerUnavailable, ConfigError, RelayqError, Replaced
from relayq.spec import make_spec
from relayq.store import Store
from relayq.worker import logfile as worker_log
from relayq.worker.agent import Agent

log = logging.getLogger("relayq.worker")

REFUSED = 5  #: exit code, as everywhere on the command line

settings = load()
# Without a broker the application exists (a help text, an import in a test) but no worker starts: see `_begin`.
app = broker.make_app(settings.broker_url or "redis://127.0.0.1:1/0")
agent: Agent | None = None
name = ""

# Its result is written later, but what stops it before that, such as wrong arguments, is the client's answer at once.
_OLD_TASK: dict[str, Any] = {"bind": True, "store_errors_even_if_ignored": True}


@signals.setup_logging.connect
def _set_up_log(loglevel: int | str, logfile: str | None = None, **_: Any) -> None:
    """Our log instead of Celery's: what its command line says, else the settings."""
    given = logging.getLevelName(loglevel) if isinstance(loglevel, int) else loglevel
    # What Celery says when it was told nothing.
    level = settings.log_level if given == "WARNING" else given
    worker_log.set_up(level, Path(logfile) if logfile else settings.log_file)


@signals.celeryd_init.connect
def _begin(sender: str, conf: Any, instance: Any = None, options: Any = None, **_: Any) -> None:
    """Celery is about to start a worker: choose its queues, and make sure that it may be."""
    global agent, name  # noqa: PLW0603  (a Celery application is a module; its agent is its only state)
    if instance is not None:
        instance.quiet = True  # no banner among the events
    worker_log.set_up(settings.log_level, None)  # until Celery has its options
    name = broker.configure_worker(app, sender, conf, default=settings.worker_name)
    try:
        if settings.broker_url is None:
            raise BrokerRefused("no broker is configured. Start one on this machine with: relayq up")
        _be_nice()
        agent = Agent(
            settings,
            name=name,
            slots=_slots(options),
            open_store=_store,
            write_answer=_write_answer,
            replaced=_stop_process,
            relaunch=_relaunch,
        )
        agent.check_broker()
    except RelayqError as error:
        # Out from here: Celery would log it and go on, a worker that hears rings and takes no job.
        _refuse_to_start(str(error), 2 if isinstance(error, ConfigError) else REFUSED)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        home = settings.home
        _refuse_to_start(f"cannot use {home} ({what}). Make it a folder you can write, or set RELAYQ_HOME to one", 1)
    except Exception as error:
        log.exception("the worker cannot start")
        _refuse_to_start(f"unexpected {type(error).__name__}: {error}", 1)


@signals.worker_ready.connect
def _register(sender: Any, **_: Any) -> None:
    """Rings are heard from now on."""
    assert agent is not None
    try:
        agent.start(broker.bell_for(app, name, sender.hostname))
    except Replaced:
        _stop_process()
    except RelayqError as error:
        # An exception would be logged and forgotten here. Nothing has begun that would have to end well.
        log.error("%s", error)
        logging.shutdown()
        os._exit(REFUSED)


@signals.worker_shutting_down.connect
def _stop(sig: str, how: str, **_: Any) -> None:
    """Told to stop: let go of the jobs; told again by Ctrl-C: end them."""
    if agent is not None:
        agent.stop(end_jobs=how == "Cold", interrupted=sig == "SIGINT")


@signals.worker_shutdown.connect
def _linger(**_: Any) -> None:
    """After Ctrl-C: a moment to press it again."""
    if agent is not None:
        agent.linger()


@broker.connection_changed.connect
def _look(**_: Any) -> None:
    """The pulse finds out first what has become of the broker."""
    if agent is not None:
        agent.pulse_now()


@app.task(name=broker.RING_TASK)
def ring() -> None:
    """There is work for this worker."""
    assert agent is not None
    agent.ring()


@control_command(name=broker.PULSE_COMMAND)
def pulse(state: Any) -> None:
    """Something concerns a running attempt."""
    if agent is not None:
        agent.pulse_now()


@app.task(name="relayq.run_command", **_OLD_TASK)
def run_command(self: Any, command: str, cwd: str | None = None, routing_key: str | None = None) -> NoReturn:
    """1.x: run a command anywhere, or on the worker its `routing_key` names; answers its stdout."""
    _submit(self.request.id, command, cwd=cwd, on=routing_key)
    raise Ignore  # or Celery would store None as the result: a 1.x message asks for one


@app.task(name="relayq.transcode_video", **_OLD_TASK)
def transcode_video(self: Any, input_file: str, output_file: str, options: str | None = None) -> NoReturn:
    """1.x: convert a video; answers {"status": "success", "output": output_file}."""
    _submit_media(self.request.id, "transcode", {"input": input_file, "output": output_file, "options": options})
    raise Ignore


@app.task(name="relayq.transcribe_audio", **_OLD_TASK)
def transcribe_audio(self: Any, audio_file: str, model: str = "base") -> NoReturn:
    """1.x: turn speech into text; answers the text."""
    _submit_media(self.request.id, "transcribe", {"input": audio_file, "model": model})
    raise Ignore


def _submit(task_id: str, command: str | None, **options: Any) -> None:
    """Make a 1.x task a job; if what it asks or the store refuses that, the refusal is the task's answer."""
    _answered(task_id, lambda: _agent().submit_for_celery(task_id, make_spec(command, **options), anyway=True))


def _submit_media(task_id: str, kind: str, params: dict[str, Any]) -> None:
    """The same for these kinds. Refused at once if no machine can do it: nobody would see that it waits."""
    _answered(
        task_id,
        lambda: _agent().submit_for_celery(task_id, make_spec(None, kind=kind, params=params), anyway=False),
    )


def _answered(task_id: str, submit: Callable[[], None]) -> None:
    try:
        submit()
    except RelayqError as error:  # a broker that is away has been waited for
        log.warning("a 1.x task was refused", extra={"task": task_id, "error": str(error)})
        try:
            _write_answer(task_id, None, error)
        except BrokerUnavailable as trouble:
            log.error("a 1.x task could not be answered", extra={"task": task_id, "error": str(trouble)})


def _agent() -> Agent:
    assert agent is not None
    return agent


def _be_nice() -> None:
    try:
        os.nice(settings.nice or 0)
    except OSError:
        raise ConfigError(
            f"worker.nice is {settings.nice}; below 0 it needs root. Make it 0 or more, or start the worker as root"
        ) from None


def _refuse_to_start(sentence: str, code: int) -> NoReturn:
    sys.stderr.write(f"relayq: {sentence}\n")
    sys.exit(code)  # as everywhere on the command line


def _slots(options: Any) -> int:
    given = (options or {}).get("concurrency")
    return int(given) if given else settings.slots


def _store(timeout: float) -> Store:
    return open_store(settings, timeout=timeout)


def _write_answer(task_id: str, value: Any, error: Exception | None) -> None:
    broker.store_result(app, task_id, value=value, error=error)


def _relaunch() -> None:
    """This process in a new edition: same pid, same command line, everything else fresh. Jobs do not notice."""
    assert agent is not None
    agent.stop()
    logging.shutdown()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def _stop_process() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
