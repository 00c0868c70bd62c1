"""Tests of the installers, on nodes: Debian systems that boot here under systemd-nspawn, with a network of their own.

`lab.py` is the way in: what a node is for is in `node.py`, the network is `hub.py`, the fixtures are in `conftest.py`.
Run with `scripts/nodes bookworm`, as root; trixie and arm64 are the others.
"""
