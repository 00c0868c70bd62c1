"""The store in Redis: every call is one Lua script, so that it is atomic and costs one round trip.

The key layout stands at the head of `lua/lib/base.lua`. These modules carry arguments in and records out.
"""

from relayq.store.redis.store import RedisStore

__all__ = ["RedisStore"]
