"""What the server of a broker's machine says of its version, and whether anybody listens at an address."""

from __future__ import annotations

import json
import socket
import urllib.request
from urllib.error import URLError

from relayq.errors import SetupError

PATIENCE = 2.0  #: seconds
_LONGEST_ANSWER = 1 << 16


def version(url: str) -> str:
    """Which relayq the server at `url` serves. Raises SetupError."""
    # Never through a proxy: the address is one of a private network.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    where = f"{url.rstrip('/')}/version"
    try:
        with opener.open(where, timeout=PATIENCE) as answer:
            said = json.loads(answer.read(_LONGEST_ANSWER))
            return str(said["version"])
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise SetupError(f"no answer from {where} ({getattr(reason, 'strerror', None) or reason})") from None
    except (ValueError, KeyError, TypeError):
        raise SetupError(f"what answers at {where} is no relayq server") from None


def listens(address: str, port: int) -> bool:
    """Whether anybody takes a connection there."""
    try:
        with socket.create_connection((address, port), timeout=PATIENCE):
            return True
    except OSError:
        return False
