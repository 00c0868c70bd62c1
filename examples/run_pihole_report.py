#!/usr/bin/env python3
"""Has the Raspberry Pi read its own Pi-hole log, with a script that it need not have: the text travels with the job.

run_pihole_report.py [/var/log/pihole/pihole.log]
"""

import sys
from pathlib import Path

from relayq import job

log = sys.argv[1] if len(sys.argv) > 1 else "/var/log/pihole/pihole.log"
script = Path(__file__).with_name("pihole_report.py").read_text()
# A script is run by its #! line and has no arguments: it is told through the environment what to read.
handle = job.run(script=script, needs=["rpi"], env={"PIHOLE_LOG": log}, name="Pi-hole report", timeout=300)
handle.result(timeout=330)
if trouble := handle.traceback:
    sys.exit(trouble)
print(handle.get(), end="")
