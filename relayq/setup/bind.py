"""Which addresses relayq's Redis listens on: written before each start, from what is there at that moment."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from relayq import tailnet
from relayq.effects import Effects
from relayq.receipt import Receipt
from relayq.setup.places import Places
from relayq.setup.redis import bind_file, bind_text


def write_bind(places: Places) -> list[str]:
    """Write bind.conf; the addresses beside loopback. For ExecStartPre: says nothing, asks for nothing."""
    addresses = present_addresses()
    # Not an owner's file to edit, and it changes by itself: nothing for the receipt.
    quiet = Effects(Receipt(Path(os.devnull) / "none"), say=lambda _: None)
    quiet.file(bind_file(places), bind_text(addresses), mode=0o644)
    return addresses


def present_addresses(net: tailnet.Tailnet | None = None) -> list[str]:
    """This machine's Tailscale address, if it is there to be listened on."""
    address = (net or tailnet.look()).address
    return [address] if address and can_bind(address) else []


def can_bind(address: str) -> bool:
    """Whether the address is this machine's now. Tailscale names it before it is, and after it was."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
        return True
