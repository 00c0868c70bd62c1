"""What the operating system tells and does about processes: `linux` or `mac`, under one name."""

import sys

if sys.platform == "darwin":
    from relayq.supervisor.mac import (
        ADOPTS_ORPHANS,
        adopt_orphans,
        boot_id,
        children,
        descendants,
        marked,
        marker,
        own_children,
        start_time,
        watch_own_children,
    )
else:
    from relayq.supervisor.linux import (
        ADOPTS_ORPHANS,
        adopt_orphans,
        boot_id,
        children,
        descendants,
        marked,
        marker,
        own_children,
        start_time,
        watch_own_children,
    )

__all__ = [
    "ADOPTS_ORPHANS",
    "adopt_orphans",
    "boot_id",
    "children",
    "descendants",
    "marked",
    "marker",
    "own_children",
    "start_time",
    "watch_own_children",
]
