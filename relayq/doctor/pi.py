"""Checks that only a Raspberry Pi needs: its power supply, and limits on memory."""

from __future__ import annotations

import re
from collections.abc import Iterator

from relayq.doctor.context import Context
from relayq.doctor.findings import Finding, check, ok, problem, warning

#: Bits of `vcgencmd get_throttled`: now, and since boot 16 higher.
UNDER_VOLTAGE = 1 << 0
SLOWED = {1 << 1: "its processor's frequency is capped", 1 << 2: "it is throttled", 1 << 3: "it is slowed by heat"}
SINCE_BOOT = 16
_FILES = ("/sys/devices/platform/soc/soc:firmware/get_throttled", "/sys/class/hwmon/hwmon0/device/get_throttled")
SUPPLY = "use the official supply and a short cable, and fewer USB devices"


@check("power")
def power(context: Context) -> Iterator[Finding]:
    """The supply is strong enough: under-voltage corrupts cards and slows jobs."""
    bits = _throttled(context) if context.is_pi else None
    if bits is None:
        return
    before = bits >> SINCE_BOOT
    if bits & UNDER_VOLTAGE:
        yield problem(f"under-voltage now: {SUPPLY}")
    elif before & UNDER_VOLTAGE:
        yield warning(f"there was under-voltage since it was started: {SUPPLY}")
    slowed = [text for bit, text in SLOWED.items() if bits & bit]
    if slowed:
        yield warning(f"{' and '.join(slowed)} now", "vcgencmd measure_temp")
    elif not (bits | before) & UNDER_VOLTAGE:
        yield ok("enough" + ("; it was slowed by heat since it was started" if before & sum(SLOWED) else ""))


@check("memory groups")
def memory_groups(context: Context) -> Iterator[Finding]:
    """Whether the kernel can limit a service's memory. Only a hint: relayq does without."""
    controllers = context.read("/sys/fs/cgroup/cgroup.controllers")
    if not context.is_pi or controllers is None:
        return
    if "memory" in controllers.split():
        yield ok("on: MemoryMax= works")
        return
    line = next((f for f in ("/boot/firmware/cmdline.txt", "/boot/cmdline.txt") if context.path(f).exists()), None)
    yield ok(
        "off: a unit's MemoryMax= has no effect until this and a reboot",
        f"sudo sed -i '1s/$/ cgroup_enable=memory cgroup_memory=1/' {line or '/boot/firmware/cmdline.txt'}",
    )


def _throttled(context: Context) -> int | None:
    said = context.ask("vcgencmd", "get_throttled")
    if said is not None and (found := re.search(r"throttled=0x([0-9a-fA-F]+)", said)):
        return int(found[1], 16)
    for file in _FILES:
        text = context.read(file)
        if text and re.fullmatch(r"(0x)?[0-9a-fA-F]+", text):
            return int(text, 16)
    return None
