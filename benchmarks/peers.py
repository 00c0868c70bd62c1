"""The same task for the peers, as their documentation would have it: a shell command whose stdout is the result."""

from __future__ import annotations

import os
import subprocess
from typing import Any
from urllib.parse import urlsplit

from celery import Celery
from huey import RedisHuey

URL = os.environ.get("BENCH_REDIS") or os.environ.get("RELAYQ_BROKER_URL", "redis://127.0.0.1/0")
BASE = URL.rpartition("/")[0]
_parts = urlsplit(URL)

app = Celery("peers", broker=f"{BASE}/1", backend=f"{BASE}/1")
huey = RedisHuey("bench", host=_parts.hostname, port=_parts.port, password=_parts.password, db=2)


@app.task(name="bench.run")
def celery_run(command: str) -> str:
    """Celery's task."""
    return subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout


@huey.task()
def huey_run(command: str) -> str:
    """Huey's task."""
    return subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout


def celery_submit() -> Any:
    """Enqueue one."""
    return celery_run.delay("echo hello")


def celery_fetch(handle: Any) -> str:
    """Its result."""
    return str(handle.get(timeout=120))


def celery_once() -> str:
    """Both."""
    return celery_fetch(celery_submit())


def huey_submit() -> Any:
    """Enqueue one."""
    return huey_run("echo hello")


def huey_fetch(handle: Any) -> str:
    """Its result; looked for every millisecond, which is the best Huey can do."""
    return str(handle.get(blocking=True, timeout=120, backoff=1.0, max_delay=0.001))


def huey_once() -> str:
    """Both."""
    return huey_fetch(huey_submit())
