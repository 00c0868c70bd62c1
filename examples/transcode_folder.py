#!/usr/bin/env python3
"""Makes an H.264 copy of every video in a folder that the machines with ffmpeg share, each on the first that is free.

transcode_folder.py /mnt/videos '*.mov'
"""

import sys
from pathlib import Path

from relayq import job

if len(sys.argv) != 3:
    sys.exit(__doc__)
folder, pattern = Path(sys.argv[1]), sys.argv[2]

handles = {}
for video in sorted(folder.glob(pattern)):
    copy = video.with_name(f"{video.stem}.h264.mp4")
    if not copy.exists():
        handle = job.transcode(str(video), output=str(copy), options="-c:v libx264 -crf 23 -c:a copy", name=video.name)
        handles[handle] = video.name

failed = 0
for handle in job.as_completed(handles):
    trouble = handle.traceback
    failed += trouble is not None
    print(f"{handles[handle]}: {trouble or f'done on {handle.result().worker}'}")
sys.exit(1 if failed else 0)
