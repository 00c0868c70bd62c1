#!/usr/bin/env python3
"""A job that says how far it is, seen from the machine that asked for it."""

import time

from relayq import job

SCRIPT = """
for n in 1 2 3 4 5; do
    echo "::progress $n/5 room $n" >&2  # on stderr, so that stdout stays the result
    sleep 0.3
done
echo tidy
"""

handle = job.run(script=SCRIPT)
while not handle.ready():
    told = handle.info  # {"progress": 0.4, "message": "room 2"}
    if told.get("progress") is not None:
        print(f"{told['progress']:.0%} {told['message']}")
    time.sleep(0.3)
print(handle.get(timeout=10), end="")
