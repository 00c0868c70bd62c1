"""What the last look at this machine found, kept in RELAYQ_HOME: a worker that starts knows it without looking."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import relayq
from relayq.media.probe import carried_ffmpeg
from relayq.model import Capability
from relayq.params import CAN_TRANSCODE
from relayq.probes import transcription
from relayq.probes.look import Look
from relayq.probes.programs import PROGRAMS


class Memory:
    """The file `capabilities.json` of a home. One that cannot be read or written is as good as none."""

    def __init__(self, home: Path) -> None:
        self._file = home / "capabilities.json"

    def programs(self) -> tuple[str, ...]:
        """Programs that somebody asked this worker to look for."""
        return tuple(str(name) for name in self._kept().get("programs", ()))

    def remember(self, look: Look, found: Sequence[Capability]) -> None:
        """Keep what a look found, and which programs were there."""
        kept = {
            "version": relayq.__version__,
            "programs": list(look.programs),
            "seen": look.seen,
            "found": [asdict(each) for each in found],
        }
        new = self._file.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError):
            new.write_text(json.dumps(kept), "utf-8")
            new.replace(self._file)

    def recall(self, look: Look) -> tuple[tuple[Capability, ...], bool]:
        """What was found last, if every program is still the same; else those that are there, untried. And which."""
        kept = self._kept()
        try:
            seen: dict[str, str] = kept.get("seen", {})
            same = kept.get("version") == relayq.__version__ and all(_same(look, *entry) for entry in seen.items())
            if same and kept["found"]:
                return tuple(Capability(**each) for each in kept["found"]), True
        except (KeyError, TypeError, AttributeError):
            pass
        programs = [Capability(name=program) for program in ("ffmpeg", *PROGRAMS) if look.which(program)]
        transcodes = [Capability(name=CAN_TRANSCODE)] if look.which("ffmpeg") or carried_ffmpeg() else []
        return (*programs, *transcodes, *transcription.engines_found()), False

    def _kept(self) -> dict[str, Any]:
        try:
            kept = json.loads(self._file.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return kept if isinstance(kept, dict) else {}


def _same(look: Look, program: str, stamp: str) -> bool:
    look.which(program)
    return look.seen[program] == stamp
