#!/usr/bin/env python3
"""Runs a command on whichever machine is free, and says which one that was."""

from relayq import job

handle = job.run("echo hello from $(hostname)")
print(handle.get(timeout=60), end="")
print(f"(it ran on {handle.result().worker})")
