"""What runs inside a transcode or transcribe job: `python -m relayq.media REQUEST.json`, a process of the job's own.

It needs nothing of the worker, which may be restarted or replaced while it works.
"""
