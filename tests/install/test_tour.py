"""The guides, typed on three machines: SETUP.md with what it says one sees, then what the README does with them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import wait_until

from .conftest import Boot
from .lab import Lab
from .node import Node
from .site import Site
from .wheels import ROOT

_PUBLIC = "https://raw.githubusercontent.com/relayq/relayq/main"
_PYTHON = "/opt/relayq/current/bin/python"


def blocks(page: str, heading: str) -> list[tuple[str, str]]:
    """(language, text) of a section."""
    section = (ROOT / page).read_text("utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL)


def seen(promised: str, said: str) -> list[str]:
    """The lines that were promised and are not there, in this order; "…" stands for anything."""
    missing, left = [], said.splitlines()
    for line in promised.splitlines():
        if line != "…":
            pattern = ".*".join(map(re.escape, line.split("…"))) + r"\s*"
            found = next((n for n, each in enumerate(left) if re.fullmatch(pattern, each)), None)
            if found is None:
                missing.append(line)
            else:
                left = left[found + 1 :]
    return missing


@pytest.fixture(scope="class")
def site(lab: Lab, boot_for_class: Boot, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Three fresh machines, with Tailscale; on the Mac's stand-in there are ffmpeg and a video already."""
    vm, mac, rpi = boot_for_class("vm", "mac-mini", "rpi")
    for node in (mac, rpi):
        node.install_tailscale()
    mac.run("apt-get -qq update && apt-get -qq -y --no-install-recommends install ffmpeg", timeout=300)
    mac.run("ffmpeg -v error -f lavfi -i testsrc=duration=2:size=320x180 video.mp4", user="owner")
    rpi.run("mkdir monitor; echo 'print(\"all is quiet\")' >monitor/monitor.py", user="owner")
    return Site(lab, tmp_path_factory.mktemp("served"), wheel, vm)


def shell(site: Site, node: Node, text: str, *, input: str = "") -> tuple[str, str]:
    """What an owner sees who pastes this."""
    text = text.replace(_PUBLIC, site.url).replace("| bash", f"| RELAYQ_SPEC={site.wheel} bash")
    done = node.run(["sh", "-lc", text], user="owner", timeout=300, input=input)
    return done.stdout, done.stderr


class TestTheTour:
    def test_setting_up_is_as_the_guide_says(self, site: Site, lab: Lab) -> None:
        """The broker, the Raspberry Pi, the Mac, the first jobs: every line that it shows is seen."""
        (_, command), (_, promised) = blocks("SETUP.md", "1. The broker")
        assert seen(promised, "".join(shell(site, site.vm, command)[::-1])) == []
        (_, command), (_, paste), (_, promised) = blocks("SETUP.md", "2. The Raspberry Pi")
        line, told = shell(site, site.vm, command)
        assert seen(paste, told + line) == []
        # The stand-in does not know that it is a Pi, nor the other that it is a Mac.
        out, err = shell(site, lab.nodes["rpi"], line.replace("RELAYQ_TOKEN", "RELAYQ_PROFILE=rpi RELAYQ_TOKEN"))
        assert seen(promised, err + out) == []
        line, _ = shell(site, site.vm, "relayq token new --name mac-mini")
        shell(site, lab.nodes["mac-mini"], line.replace("RELAYQ_TOKEN", "RELAYQ_PROFILE=mac RELAYQ_TOKEN"))
        (_, jobs), (_, answers), (_, doctor), (_, well) = blocks("SETUP.md", "4. The first jobs")
        assert seen(answers, shell(site, site.vm, jobs)[0]) == []
        for node in lab.nodes.values():
            wait_until(lambda node=node: seen(well, shell(site, node, doctor)[0]) == [], 30)

    def test_jobs_go_where_the_readme_says(self, site: Site) -> None:
        """To any machine, to the Mac, to the Pi, and spread over all."""
        commands, python, _ = blocks("README.md", "With several machines")
        assert "relayq token new --name rpi" in commands[1]
        out, _ = shell(site, site.vm, f"{_PYTHON} -", input=python[1])
        words = [line for line in out.splitlines() if line]
        assert words[0] in ("mac-mini", "rpi")
        assert words[1:4] == ["output.mp4", "all is quiet", "rpi"]
        hosts = eval(words[4])
        assert sum(hosts.values()) == 12
        assert set(hosts) == {"mac-mini", "rpi"}
        assert "online" in words[-1]

    def test_the_job_of_a_machine_that_fails_goes_to_the_other(self, site: Site, lab: Lab) -> None:
        """The plug is pulled while it runs; the machine is back by itself, and all is well again."""
        submit, wait, doctor = blocks("README.md", "With several machines")[2][1].splitlines()
        id = shell(site, site.vm, submit)[0].strip()
        wait_until(lambda: site.relayq("show", id)["worker"] == "rpi", 15)
        lab.nodes["rpi"].lose_power()
        assert shell(site, site.vm, wait)[0] == "mac-mini\n"
        assert [a["worker"] for a in site.relayq("show", id)["attempts"]] == ["rpi", "mac-mini"]
        lab.nodes["rpi"].boot()
        site.online("rpi")
        assert doctor.startswith("relayq doctor")
        site.well(*lab.nodes.values())

    def test_the_way_back_is_as_the_guide_says(self, site: Site, lab: Lab) -> None:
        """A backup, an empty broker, and everything back; then a machine that goes."""
        shell(site, site.vm, "relayq backup all.backup")
        before = {job["id"] for job in site.relayq("list")}
        shell(site, site.vm, "relayq setup broker --uninstall --purge")
        (_, command), _ = blocks("SETUP.md", "1. The broker")
        shell(site, site.vm, command)
        assert site.relayq("list") == []
        shell(site, site.vm, "relayq restore all.backup")
        assert {job["id"] for job in site.relayq("list")} == before
        site.online("rpi", 60)
        site.online("mac-mini", 60)
        assert site.run("relayq", "run", "--on", "rpi", "--", "echo here").stdout == "here\n"
        shell(site, lab.nodes["rpi"], "relayq setup worker --uninstall")
        assert "rpi" not in site.workers()
