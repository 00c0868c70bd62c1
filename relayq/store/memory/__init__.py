"""The store in this process, through `lifecycle`: the twin that says what the Lua scripts of RedisStore must do.

Its floors are those of the scripts: `tables` at the bottom, then `epochs`, `timers`, `claims`, and the calls on top.
"""

from relayq.store.memory.store import MemoryStore

__all__ = ["MemoryStore"]
