"""Another version: the broker first, then a worker that asks it; back again; and a version that is no good."""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import wait_until

from .commands import call
from .conftest import Boot
from .lab import Lab
from .node import Node
from .site import Site


def another(wheel: Path, folder: Path, version: str, *, broken: bool = False) -> Path:
    """The same package under another version; a broken one's worker does not start."""
    source = folder / version
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(source)
    old = wheel.name.split("-")[1]
    info = source / f"relayq-{old}.dist-info"
    metadata = info / "METADATA"
    metadata.write_text(metadata.read_text().replace(f"\nVersion: {old}\n", f"\nVersion: {version}\n"))
    info.rename(source / f"relayq-{version}.dist-info")
    if broken:
        (source / "relayq/tasks.py").write_text("raise SystemExit('no good')\n")
    (folder / "wheels").mkdir(parents=True, exist_ok=True)
    made = folder / "wheels" / f"relayq-{version}-py3-none-any.whl"
    call(sys.executable, "-c", _PACK, str(source), str(made))
    return made


#: pip checks what a wheel's RECORD says of its files.
_PACK = """
import base64, hashlib, pathlib, sys, zipfile
source, made = map(pathlib.Path, sys.argv[1:])
record = next(source.glob("*.dist-info")) / "RECORD"
record.unlink()
files = sorted(path for path in source.rglob("*") if path.is_file())
lines = []
with zipfile.ZipFile(made, "w") as archive:
    for path in files:
        content = path.read_bytes()
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{path.relative_to(source)},sha256={digest},{len(content)}")
        archive.writestr(str(path.relative_to(source)), content)
    archive.writestr(str(record.relative_to(source)), "\\n".join([*lines, f"{record.relative_to(source)},,"]) + "\\n")
"""


class Upgradable(Site):
    """A site whose broker can be given another version."""

    def __init__(self, lab: Lab, folder: Path, wheel: Path, vm: Node) -> None:
        super().__init__(lab, folder, wheel, vm)
        self._first, self._folder = wheel, folder

    def offer(self, version: str, *, broken: bool = False) -> None:
        """Have the broker run it, and offer it to others."""
        made = another(self._first, self._folder / "versions", version, broken=broken)
        shutil.copy(made, self.vm.root / "srv" / made.name)
        self.wheel = f"/srv/{made.name}"
        self.install_broker()


@pytest.fixture(scope="class")
def site(lab: Lab, boot_for_class: Boot, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Upgradable:
    """A broker and a worker of the same version."""
    vm, rpi = boot_for_class("vm", "rpi")
    rpi.install_tailscale()
    site = Upgradable(lab, tmp_path_factory.mktemp("served"), wheel, vm)
    site.install_broker()
    site.join(rpi, site.token("--name", "rpi"))
    return site


@pytest.fixture
def rpi(lab: Lab) -> Node:
    """The worker."""
    return lab.nodes["rpi"]


def version(site: Upgradable, node: Node) -> str:
    """Which package is installed there."""
    return site.run("sh", "-c", "ls ~/.local/share/relayq/current/wheel", on=node).stdout.split("-")[1]


class TestUpgrades:
    def test_a_worker_takes_the_broker_s_version_and_its_job_goes_on(self, site: Upgradable, rpi: Node) -> None:
        """The broker first, which serves what it runs."""
        id = site.run("relayq", "submit", "--on", "rpi", "--", "sleep 40; echo done").stdout.strip()
        wait_until(lambda: site.relayq("show", id)["state"] == "running", 15)
        site.offer("2.0.1")
        site.run("relayq", "upgrade", on=rpi, timeout=120)
        assert version(site, rpi) == "2.0.1"
        assert "is the newest" in site.run("relayq", "upgrade", on=rpi).stdout
        assert site.run("relayq", "wait", id, timeout=90).returncode == 0
        assert len(site.relayq("show", id)["attempts"]) == 1

    def test_it_goes_back_and_forward_again(self, site: Upgradable, rpi: Node) -> None:
        """By one word, each time with a job as proof."""
        before = version(site, rpi)
        site.run("relayq", "rollback", on=rpi)
        assert version(site, rpi) != before
        site.run("relayq", "rollback", on=rpi)
        assert version(site, rpi) == before
        assert site.run("relayq", "run", "--on", "rpi", "--", "echo here").stdout == "here\n"

    def test_a_version_that_is_no_good_is_undone_by_itself(self, site: Upgradable, rpi: Node) -> None:
        """The worker works on."""
        site.offer("2.0.2", broken=True)
        done = site.run("relayq", "upgrade", on=rpi, check=False, timeout=240)
        assert done.returncode != 0
        assert "runs again" in done.stderr
        assert version(site, rpi) == "2.0.1"
        assert site.run("relayq", "run", "--on", "rpi", "--", "echo here").stdout == "here\n"

    def test_the_broker_goes_back_too(self, site: Upgradable, rpi: Node) -> None:
        """And serves the version that it runs. After all that, the doctor finds no problem."""
        site.vm.run("relayq rollback", user="owner", timeout=120)
        said = site.vm.run("curl -fsS http://127.0.0.1:7117/version").stdout
        assert "relayq-2.0.1-" in said
        site.well(site.vm, rpi)
