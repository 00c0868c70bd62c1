"""The command `relayq`: what people type. One file a verb; what there is to know of jobs is known further down."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    """Do what the command line says, and exit as `relayq --help` tells."""
    try:
        _make_usable()
        from relayq.cli.app import cli

        cli.main(prog_name="relayq")
    except KeyboardInterrupt:  # before there was anything to interrupt
        sys.exit(130)


def _make_usable() -> None:
    # A closed stream is None here, and a narrow encoding must not end in a traceback.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  (for ever)
        elif mode == "w" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
