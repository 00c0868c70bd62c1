#!/usr/bin/env python3
"""Says when a machine comes or goes, until you stop it.

monitor.py [SECONDS BETWEEN TWO LOOKS]
"""

import sys
import time

from relayq import job

pause = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
print(job.worker_status())
before = None
while True:
    status = job.worker_status()
    now = {name: worker["online"] for name, worker in status["workers"].items()}
    if "error" in status:
        now = {"the broker": False}
    for name, online in now.items():
        if before is not None and before.get(name) != online:
            print(f"{time.strftime('%H:%M:%S')} {name} is {'online' if online else 'away'}", flush=True)
    before = now
    time.sleep(pause)
