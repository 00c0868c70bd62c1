#!/usr/bin/env python3
"""Writes subtitles beside every recording in a folder that the machines share, and shows how far each is.

transcribe_talks.py /mnt/talks '*.mp3' [language]
"""

import sys
import time
from pathlib import Path

from relayq import JobFailed, NoSuchWorker, job

if len(sys.argv) not in (3, 4):
    sys.exit(__doc__)
folder, pattern = Path(sys.argv[1]), sys.argv[2]
language = sys.argv[3] if len(sys.argv) == 4 else None

waiting = {}
try:
    for talk in sorted(folder.glob(pattern)):
        subtitles = talk.with_suffix(".srt")
        if not subtitles.exists():
            waiting[talk.name] = job.transcribe(str(talk), output=str(subtitles), language=language)
except NoSuchWorker as refused:
    sys.exit(f"{refused}")  # no machine can: it says what to install

failed = 0
while waiting:
    time.sleep(0.5)
    for name, handle in list(waiting.items()):
        if not handle.ready():
            told = handle.info
            print(f"{name}: {told.get('message') or 'waits'}")
            continue
        del waiting[name]
        try:
            handle.get()
            print(f"{name}: done")
        except JobFailed as error:
            failed += 1
            print(f"{name}: {error}")
sys.exit(1 if failed else 0)
