#!/usr/bin/env python3
"""Makes an H.264 copy of every video in a folder that the machines with ffmpeg share, each on the first that is free.

transcode_folder.py /mnt/videos '*.mov'
"""

import sys
from pathlib import Path

from relayq import JobFailed, job

if len(sys.argv) != 3:
    sys.exit(__doc__)
folder, pattern = Path(sys.argv[1]), sys.argv[2]

handles = {}
for video in sorted(folder.glob(pattern)):
    copy = video.with_name(f"{video.stem}.h264.mp4")
    if not copy.exists():  # it has its name when it is complete, so this can be run again at any time
        handles[job.transcode(str(video), output=str(copy), preset="fast", name=video.name)] = video.name

failed = 0
for handle in job.as_completed(handles):
    try:
        made = handle.get()
    except JobFailed as error:
        failed += 1
        print(f"{handles[handle]}: {error}")
    else:
        saved = 1 - made["output_bytes"] / made["input_bytes"]
        print(f"{handles[handle]}: done on {handle.result().worker} by {made['encoder']}, {saved:.0%} smaller")
sys.exit(1 if failed else 0)
