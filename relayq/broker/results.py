"""What a 1.x client waits for: the result of its Celery task, where Celery keeps it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from celery import Celery, states
from celery.exceptions import BackendError
from kombu.exceptions import KombuError

from relayq.errors import BrokerUnavailable


def store_result(app: Celery, task_id: str, *, value: Any = None, error: BaseException | None = None) -> None:
    """Gives a 1.x client, which waits for the Celery task `task_id`, its value (JSON) or its exception.

    The first success stays: a later call changes nothing. Raises BrokerUnavailable within a few seconds if the
    result could not be stored; calling again is harmless.
    """
    backend = app.backend
    trouble = (*backend.connection_errors, *backend.channel_errors, BackendError, KombuError, OSError, RuntimeError)
    try:
        if error is None:
            backend.store_result(task_id, value, states.SUCCESS)
        else:
            backend.store_result(task_id, _builtin(error), states.FAILURE)
    except trouble as e:
        raise BrokerUnavailable(f"the broker did not take the result of {task_id}: {e}") from e


def _builtin(error: BaseException) -> Exception:
    """The same message in an exception that every Python knows: a client of 1.x has none of our classes."""
    plain = len(error.args) == 1 and isinstance(error.args[0], str)
    message = error.args[0] if plain else str(error)
    for cls in type(error).__mro__:
        if cls.__module__ == "builtins" and issubclass(cls, Exception):
            with suppress(TypeError):  # UnicodeDecodeError wants more than a message
                return cls(message)
    return RuntimeError(message)
