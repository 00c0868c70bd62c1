"""`relayq demo`: what relayq does, shown for real on this machine in under a minute, with nothing left behind."""

from __future__ import annotations


def main() -> int:
    """Show it. 0 if every step did what it says, 1 if not, 130 after Ctrl-C."""
    from relayq.demo.play import play

    return play()
