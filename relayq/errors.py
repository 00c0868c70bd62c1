"""What can go wrong, as one tree; every message is a sentence that says what to do next.

RelayqError
├── BadSpec              the job as asked for cannot be: wrong type, empty command, NUL byte, too big
├── NoSuchWorker         no known worker meets the requirement, and `queue_anyway` was not given
├── Refused              the store says no, for a reason that is not the spec
│   ├── IdTaken          another job already has this id
│   ├── NameTaken        another machine already has this worker name
│   ├── Replaced         a newer incarnation of this worker has registered
│   ├── StoreFull        the broker is close to its memory limit: no new jobs
│   ├── StaleAttempt     a newer attempt owns the job; what an older one says is not heard
│   └── InvalidTransition  the job is not in a state in which this can happen to it
├── UnknownJob           no job has this id
│   └── AmbiguousJob     several jobs' ids begin like this
├── BrokerUnavailable    the broker does not answer
│   └── BrokerRefused    the broker answers and refuses us: wrong password, too old, another schema
├── JobFailed            the job ended without success (raised by `get` and `wait`)
├── OutputTruncated      the output was longer than is kept, so it is not the whole value
├── ResultTimeout        the job has not ended within the time given (also a TimeoutError)
├── ConfigError          a setting is unknown or has a wrong value
└── SetupError           a machine could not be set up, upgraded or restored
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relayq.model import Result


class RelayqError(Exception):
    """Everything relayq raises on purpose."""


class BadSpec(RelayqError, ValueError):
    """The job as asked for cannot be."""


class NoSuchWorker(RelayqError):
    """No known worker meets the requirement."""


class Refused(RelayqError):
    """The store says no."""


class IdTaken(Refused):
    """Another job already has this id."""


class NameTaken(Refused):
    """Another machine already has this worker name."""


class Replaced(Refused):
    """A newer incarnation of this worker has registered."""


class StoreFull(Refused):
    """The broker is close to its memory limit."""


class StaleAttempt(Refused):
    """A newer attempt owns the job."""


class InvalidTransition(Refused):
    """The job is not in a state in which this can happen to it."""


class UnknownJob(RelayqError, LookupError):
    """No job has this id."""


class AmbiguousJob(UnknownJob):
    """Several jobs' ids begin like this."""


class BrokerUnavailable(RelayqError, ConnectionError):
    """The broker does not answer, or not yet."""

    serves_nobody = False  #: it or its host said so: meanwhile no job can be given to another machine (P5)


class BrokerRefused(BrokerUnavailable):
    """The broker answers and refuses us; trying again does not help."""


class JobFailed(RelayqError):
    """The job ended without success; `result` says how."""

    def __init__(self, sentence: str, result: Result) -> None:
        super().__init__(sentence)
        self.result = result


class OutputTruncated(RelayqError):
    """The output was longer than is kept; `result` has the head and the tail."""

    def __init__(self, sentence: str, result: Result) -> None:
        super().__init__(sentence)
        self.result = result


class ResultTimeout(RelayqError, TimeoutError):
    """The job has not ended within the time given; it goes on."""


class ConfigError(RelayqError):
    """A setting is unknown or has a wrong value."""


class SetupError(RelayqError):
    """A machine could not be set up, upgraded or restored."""
