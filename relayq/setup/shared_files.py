"""Writes files that others change as well (their owner, Redis): our text is made from theirs, so it takes its place."""

from __future__ import annotations

from pathlib import Path

from relayq.effects import Effects
from relayq.receipt import sha256_of


def write_over(
    effects: Effects, path: Path, old: str, new: str, *, mode: int = 0o600, owner: str | None = None
) -> bool:
    """Put `new`, made from `old`, which stands there; True if they differ. Both may hold secrets."""
    if old:
        # Else it would count as edited, and be kept apart.
        effects.receipt.files[str(path)] = sha256_of(old)
    return effects.file(path, new, mode=mode, owner=owner, secret=True)
