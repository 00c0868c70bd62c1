"""The slots of a worker: Celery's threads."""

from __future__ import annotations

from typing import Any

from celery.concurrency.thread import TaskPool


class SlotPool(TaskPool):
    """Celery's threads, which say when they are free.

    With `worker_disable_prefetch`, Celery stops asking Redis while all slots are busy and looks again only when its
    event loop happens to turn, up to a second after a slot has become free.
    """

    _loop: Any = None

    def register_with_event_loop(self, loop: Any) -> None:
        """Celery's hook, called with every new connection."""
        self._loop = loop

    def on_apply(self, *args: Any, **options: Any) -> Any:
        """Celery's hook: runs a task in a thread."""
        result = super().on_apply(*args, **options)
        result.f.add_done_callback(self._turn_loop)
        return result

    def _turn_loop(self, _future: object) -> None:
        if self._loop is not None:
            self._loop.call_soon(lambda: None)
