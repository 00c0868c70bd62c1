"""How this machine is: processor, memory, disk, heat; read now and then, told with the next pulse."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from relayq.model import Readings

LOOK_EVERY = 16.0  #: seconds
#: Sensors of the processor, by what Linux calls them; any other is taken only if there is none of these.
_CPU_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal", "acpitz")
_THROTTLED = ("/sys/devices/platform/soc/soc:firmware/get_throttled", "/sys/class/hwmon/hwmon0/device/get_throttled")
_THROTTLES = {
    1 << 0: "under-voltage",
    1 << 1: "frequency capped",
    1 << 2: "throttled",
    1 << 3: "slowed by heat",
}


class ReadingsWatch:
    """Reads in one thread; `take` gives each reading once, to another."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._fresh: Readings | None = None
        psutil.cpu_percent()  # counts from here

    def look(self) -> None:
        """Read anew."""
        self._fresh = Readings(
            cpu=psutil.cpu_percent() / 100,
            memory=psutil.virtual_memory().percent / 100,
            disk=_disk(self._home),
            temperature=_temperature(),
            throttled=throttles(_throttle_bits()),
        )

    def take(self) -> Readings | None:
        """What was read since the last time; None if nothing was."""
        fresh, self._fresh = self._fresh, None
        return fresh


def throttles(bits: int) -> str | None:
    """What slows a Raspberry Pi down now, of the bits of `vcgencmd get_throttled`."""
    return ", ".join(text for bit, text in _THROTTLES.items() if bits & bit) or None


def _disk(home: Path) -> float | None:
    with suppress(OSError):
        return psutil.disk_usage(str(home)).percent / 100
    return None


def _temperature() -> float | None:
    # Only Linux and FreeBSD have it; broken sensors raise all kinds of OSError.
    read = getattr(psutil, "sensors_temperatures", None)
    if read is None:
        return None
    with suppress(OSError, ValueError):
        return hottest({name: [entry.current for entry in entries] for name, entries in read().items()})
    return None


def hottest(sensors: Mapping[str, list[float]]) -> float | None:
    """The processor's temperature, of what the sensors say."""
    for name in (*_CPU_SENSORS, *sensors):
        values = [value for value in sensors.get(name, ()) if value and 0 < value < 150]
        if values:
            return round(max(values), 1)
    return None


def _throttle_bits() -> int:
    for file in _THROTTLED:
        with suppress(OSError, ValueError):
            if found := re.fullmatch(r"(?:0x)?([0-9a-fA-F]+)", Path(file).read_text("ascii").strip()):
                return int(found[1], 16)
    return 0
