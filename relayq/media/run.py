"""Reads what is asked and has it done; whatever goes wrong is one sentence at the end of stderr."""

from __future__ import annotations

import errno
import json
import signal
import sys
from importlib import import_module
from pathlib import Path
from types import FrameType

from relayq.media.files import at_home
from relayq.media.trouble import Stopped, Trouble, shown

FAILED = 1


def main(request: str) -> int:
    """The exit code."""
    signal.signal(signal.SIGTERM, _stop)
    asked = json.loads(Path(request).read_text("utf-8"))
    asked |= {name: at_home(asked[name]) for name in ("input", "output") if asked[name]}
    do = import_module(f"relayq.media.{asked['kind']}").run
    try:
        do(asked, Path(request).parent)
    except Trouble as trouble:
        return _say(str(trouble))
    except OSError as error:
        where = shown(str(error.filename)) if error.filename else "its files"
        if error.errno == errno.ENOSPC:
            return _say(f"no space left on {asked['machine']} for {where}")
        return _say(f"{asked['machine']} cannot use {where}: {error.strerror or error}")
    except Stopped:
        # As a process that does not mind signals would end.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)
    return 0


def _say(sentence: str) -> int:
    sys.stderr.write(f"{sentence}\n")
    return FAILED


def _stop(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what is being tidied up must not be interrupted again
    raise Stopped
