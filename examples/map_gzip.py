#!/usr/bin/env python3
"""Compresses the files of a folder on another machine, as many at a time as that has slots.

map_gzip.py nas /var/log/archive '*.log'
"""

import sys

from relayq import job

if len(sys.argv) != 4:
    sys.exit(__doc__)
worker, folder, pattern = sys.argv[1:]

# The files are the worker's, so the worker lists them. A list is an exact argv: names may hold anything but newlines.
files = job.run_on(worker, ["find", folder, "-type", "f", "-name", pattern]).get(timeout=60).splitlines()
handles = job.map([["gzip", "-9", "--", file] for file in files], on=worker)
names = dict(zip(handles, files, strict=True))

failed = 0
for number, handle in enumerate(job.as_completed(handles), 1):
    trouble = handle.traceback
    failed += trouble is not None
    print(f"{number}/{len(files)} {names[handle]}" + (f": {trouble}" if trouble else ""))
sys.exit(1 if failed else 0)
