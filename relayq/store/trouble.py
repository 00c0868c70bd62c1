"""redis-py's exceptions as relayq's: one sentence each that says what to do."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import redis

from relayq.errors import BrokerRefused, BrokerUnavailable, StoreFull

# All versions say it in these words; some wrap them in what they have to say of the script.
_FULL = "command not allowed when used memory > 'maxmemory'"
SCHEMA = "1"  #: major version of the key layout, as in lua/lib/base.lua


class _Full(StoreFull, BrokerRefused):
    """At its limit the broker refuses any call: to a client that is StoreFull. A worker goes on asking, as always."""


@contextlib.contextmanager
def translated(url: str) -> Iterator[None]:
    """Raise relayq's errors for redis-py's."""
    where = _place(url)
    try:
        yield
    except redis.exceptions.AuthenticationError as error:
        raise BrokerRefused(
            f"the broker at {where} refuses the password. Check RELAYQ_BROKER_URL or the broker section of config.yml"
        ) from error
    except (redis.exceptions.TimeoutError, redis.exceptions.ConnectionError) as error:
        sentence = f"the broker at {where} does not answer ({_reason(error)}). {_advice(url)}"
        raise _unavailable(sentence, serves_nobody=_refused(error)) from error
    except redis.exceptions.NoPermissionError as error:
        raise BrokerRefused(f"the broker at {where} does not allow this to our user: {error}") from error
    except redis.exceptions.ResponseError as error:
        raise _response_error(str(error), where) from error
    except redis.exceptions.RedisError as error:
        raise BrokerRefused(f"what answers at {where} is no Redis: {error}. Check RELAYQ_BROKER_URL") from error


@contextlib.contextmanager
def address_checked(url: str) -> Iterator[None]:
    """Raise BrokerRefused for a URL that is none."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise BrokerRefused(
            f"{_place(url)} is no address of a broker ({error}); one looks like redis://:PASSWORD@HOST:6379/0"
        ) from error


def _response_error(text: str, where: str) -> Exception:
    if "SCHEMA " in text:
        found = text.split("SCHEMA ", 1)[1].split(maxsplit=1)[0]
        return BrokerRefused(
            f"the store at {where} has schema {found}, this relayq speaks {SCHEMA}: "
            "install the same major version of relayq on all machines"
        )
    if text.startswith(("NOAUTH", "WRONGPASS")) or "invalid password" in text:
        return BrokerRefused(
            f"the broker at {where} refuses the password. Check RELAYQ_BROKER_URL or the broker section of config.yml"
        )
    if _FULL in text:
        return _Full(
            f"the broker at {where} has reached its memory limit. "
            "Raise its maxmemory, or shorten `keep` or `output_budget_bytes`"
        )
    if "MISCONF" in text:
        sentence = (
            f"the broker at {where} cannot write to its disk, and takes nothing until it can: free some space there. "
            "See its log for the reason"
        )
        return _unavailable(sentence, serves_nobody=True)
    if text.startswith(("LOADING", "MASTERDOWN", "BUSY")):
        return _unavailable(
            f"the broker at {where} is not ready yet: {text}", serves_nobody=text.startswith(("LOADING", "BUSY"))
        )
    return BrokerRefused(f"the broker at {where} answered: {text}")


def _unavailable(sentence: str, *, serves_nobody: bool) -> BrokerUnavailable:
    error = BrokerUnavailable(sentence)
    error.serves_nobody = serves_nobody
    return error


def _refused(error: BaseException) -> bool:
    """Whether the broker's host said that nobody listens, or the broker that it is loading its data."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError | redis.exceptions.BusyLoadingError):
            return True
        if "refused" in str(cause).lower():
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _reason(error: Exception) -> str:
    """Why there is no answer, without the address, which is said already."""
    return re.sub(r"^Error -?\d+ connecting to \S+ (.+?)\.?$", r"\1", str(error), flags=re.DOTALL)


def _advice(url: str) -> str:
    """Another machine's broker cannot be started here."""
    try:
        host = urlsplit(url).hostname or ""  # none: a Unix socket
    except ValueError:
        host = ""
    if host in ("", "localhost", "::1") or re.fullmatch(r"127(\.\d+){1,3}", host):
        return "Is it running? See: relayq up"
    return "Is that machine on and on the network, and does Redis run there? See: relayq doctor"


def _place(url: str) -> str:
    """Host and port, without the password."""
    rest = url.partition("://")[2] or url
    return rest.rpartition("@")[2]
