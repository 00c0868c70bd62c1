"""relayq: the machines you own, as one computer."""

__version__ = "2.0.0.dev0"
