"""What this worker offers, and which lanes it therefore serves: said when it starts, and again when either changes."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from relayq.model import WorkerInfo
from relayq.placement import eligible, rule_lacks
from relayq.store import Store


class Offering:
    """Safe to share between the pulse and whoever looks at the machine."""

    def __init__(self, info: WorkerInfo) -> None:
        self._info = info
        self._lock = threading.Lock()

    @property
    def info(self) -> WorkerInfo:
        """The worker as it is registered."""
        return self._info

    def serve(self, store: Store, lanes: Sequence[str], version: int) -> bool:
        """Say which of all lanes (as of that version of their set) this worker serves.

        False if it is just being said what this worker offers: the pulse must not wait for that, and says it next time.
        """
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self._serve(store, self._info, lanes, version)
        finally:
            self._lock.release()
        return True

    def change(self, store: Store, info: WorkerInfo) -> None:
        """This worker offers something else from now on. Raises Replaced."""
        with self._lock:
            store.describe(info)
            version, lanes = store.lanes()
            self._serve(store, info, lanes, version)
            self._info = info  # only now: who failed halfway says it all again

    def _serve(self, store: Store, info: WorkerInfo, lanes: Sequence[str], version: int) -> None:
        mine = [lane for lane in lanes if eligible(info, lane)]
        lacks = {lane: rule_lacks(info, lane) for lane in mine}
        store.serve(info.name, mine, all=True, version=version, lacks=lacks)
