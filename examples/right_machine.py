#!/usr/bin/env python3
"""Says where a command would run and why, machine by machine; then runs it there.

right_machine.py 'ffmpeg -version'
right_machine.py --needs 'memory>=4G' 'make -j4'
"""

import argparse

from relayq import NoSuchWorker, job

parser = argparse.ArgumentParser()
parser.add_argument("command")
parser.add_argument("--needs", action="append", default=[], help="what its machine must have")
asked = parser.parse_args()

print(job.foresee(asked.command, needs=asked.needs))
try:
    handle = job.run(asked.command, needs=asked.needs)
except NoSuchWorker as refused:
    raise SystemExit(f"refused: {refused}") from None
result = handle.result(timeout=60)
print(f"{result.worker}: {result.stdout.decode()}", end="")
