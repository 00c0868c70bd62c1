"""install-worker-rpi.sh on a Raspberry Pi: Debian for arm64, whose programs are emulated here."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from .conftest import Boot
from .lab import Lab
from .site import Site

pytestmark = [pytest.mark.emulated, pytest.mark.timeout(2400)]


def test_a_raspberry_pi_joins_and_takes_a_job(lab: Lab, boot: Boot, wheel: Path, tmp_path: Path) -> None:
    """By the script that the broker serves for it, with its labels, its slots, and a wheel for its processor."""
    (vm,) = boot("vm")
    (pi,) = boot("rpi", arch="arm64")
    pi.install_tailscale()
    site = Site(lab, tmp_path, wheel, vm)
    site.install_broker()
    line = site.token().replace("/join", "/install-worker-rpi.sh")
    began = time.monotonic()
    done = site.join(pi, line, timeout=1800)
    print(f"joining took {time.monotonic() - began:.0f} s")  # noqa: T201 - shown with -s
    assert "a first job went to it and came back" in done.stderr
    assert (site.workers()["rpi"]["labels"], site.workers()["rpi"]["slots"]) == (["rpi", "light"], 4)
    assert site.run("relayq", "run", "--needs", "rpi", "--", "uname -m", timeout=120).stdout == "aarch64\n"
    site.well(pi, timeout=120)
    pi.kill9(int(pi.run(["pgrep", "-o", "-f", "celery.*relayq"]).stdout))
    assert site.run("relayq", "run", "--needs", "rpi", "--", "echo back", timeout=300).stdout == "back\n"
