"""relayq: the machines you own, as one computer.

    from relayq import job
    job.run("echo hello").get(timeout=10)

Importing does no input or output, and brings in neither Celery nor Redis: a name is loaded when it is first used (the
supervisor, which imports this package as well, needs none), and the broker is looked for with the first call.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relayq.client import Client
    from relayq.errors import (
        AmbiguousJob,
        BadSpec,
        BrokerRefused,
        BrokerUnavailable,
        ConfigError,
        IdTaken,
        JobFailed,
        NoSuchWorker,
        OutputTruncated,
        RelayqError,
        ResultTimeout,
        SetupError,
        StoreFull,
        UnknownJob,
    )
    from relayq.handle import JobHandle
    from relayq.model import Job, JobSpec, Reason, Result, State
    from relayq.monitoring import WorkerStatus

    job: Client  #: the client made from your settings

__version__ = "2.0.0.dev0"

_HOME = {
    "AmbiguousJob": "relayq.errors",
    "BadSpec": "relayq.errors",
    "BrokerRefused": "relayq.errors",
    "BrokerUnavailable": "relayq.errors",
    "Client": "relayq.client",
    "ConfigError": "relayq.errors",
    "IdTaken": "relayq.errors",
    "Job": "relayq.model",
    "JobFailed": "relayq.errors",
    "JobHandle": "relayq.handle",
    "JobSpec": "relayq.model",
    "NoSuchWorker": "relayq.errors",
    "OutputTruncated": "relayq.errors",
    "Reason": "relayq.model",
    "RelayqError": "relayq.errors",
    "Result": "relayq.model",
    "ResultTimeout": "relayq.errors",
    "SetupError": "relayq.errors",
    "State": "relayq.model",
    "StoreFull": "relayq.errors",
    "UnknownJob": "relayq.errors",
    "WorkerStatus": "relayq.monitoring",
}
__all__ = [
    "AmbiguousJob",
    "BadSpec",
    "BrokerRefused",
    "BrokerUnavailable",
    "Client",
    "ConfigError",
    "IdTaken",
    "Job",
    "JobFailed",
    "JobHandle",
    "JobSpec",
    "NoSuchWorker",
    "OutputTruncated",
    "Reason",
    "RelayqError",
    "Result",
    "ResultTimeout",
    "SetupError",
    "State",
    "StoreFull",
    "UnknownJob",
    "WorkerStatus",
    "job",
    "worker_status",
]


def worker_status() -> WorkerStatus:
    """All workers, as `job.worker_status()`."""
    return __getattr__("job").worker_status()  # type: ignore[no-any-return]


def __getattr__(name: str) -> Any:
    if name == "job":
        value: Any = import_module("relayq.client").Client()
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"relayq has no {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
