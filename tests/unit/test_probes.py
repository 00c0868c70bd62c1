"""Probes look at a machine made of small programs on a PATH of its own; each of them really runs."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from relayq import probes
from relayq.media import engines
from relayq.model import Capability
from relayq.probes import docker, ffmpeg, machine, memory, programs, transcription
from relayq.probes.look import Look, run
from relayq.probes.memory import Memory
from relayq.requirements import trouble
from tests.conftest import wait_until

FFMPEG = """#!/bin/sh
case "$*" in
  *-version*) echo "ffmpeg version n7.1-static Copyright (c) the FFmpeg developers" ;;
  *-encoders*) printf ' V....D libx264   x\\n V....D h264_nvenc   x\\n V..... h264_videotoolbox  x\\n' ;;
  *libx264*) exit 0 ;;
  *h264_nvenc*) echo "[h264_nvenc @ 0x5561] Cannot load libcuda.so.1" >&2; echo more >&2; exit 1 ;;
  *) exec sleep 60 ;;
esac
"""


class Bin:
    """A folder of programs, and looks at a machine that has nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, name: str, text: str = "#!/bin/sh\n") -> Path:
        file = self.folder / name
        file.write_text(text)
        file.chmod(0o755)
        return file

    def look(self, *asked: str) -> Look:
        return Look(programs=asked, env={"PATH": f"{self.folder}"})


@pytest.fixture
def bin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bin:
    """No package of this Python carries an ffmpeg or an engine, either."""
    for module in (ffmpeg, memory):
        monkeypatch.setattr(module, "carried_ffmpeg", lambda: None)
    monkeypatch.setattr(engines, "found", lambda: ())
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in ("sleep", "sh"):
        (folder / program).symlink_to(f"/bin/{program}")
    return Bin(folder)


def test_a_listed_encoder_that_fails_is_found_with_the_reason(bin: Bin, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that hangs as well; one that is not listed is not there at all."""
    monkeypatch.setattr(Look.run, "__kwdefaults__", {"timeout": 0.5})
    bin.add("ffmpeg", FFMPEG)
    assert list(ffmpeg.probe(bin.look())) == [
        Capability(name="ffmpeg", version="7.1-static"),
        Capability(name="transcode"),
        Capability(name="encoder:libx264"),
        Capability(name="encoder:h264_videotoolbox", works=False, why_not="it did not end within 0.5 s"),
        Capability(name="encoder:h264_nvenc", works=False, why_not="Cannot load libcuda.so.1"),
    ]


@pytest.mark.skipif(not shutil.which("ffmpeg") and not os.environ.get("CI"), reason="needs ffmpeg")
def test_the_real_ffmpeg_encodes_a_picture_with_libx264() -> None:
    """The arguments are right: nothing but the encoder's own failure makes it fail."""
    found = {each.name: each for each in ffmpeg.probe(Look())}
    assert found["ffmpeg"].version
    assert found["encoder:libx264"].works, found
    assert found["encoder:libx265"].works, found
    assert all(each.works or each.why_not for each in found.values())


def test_the_ffmpeg_of_a_package_can_transcode(bin: Bin, monkeypatch: pytest.MonkeyPatch) -> None:
    """But is none that commands find."""
    carried = bin.folder / "ffmpeg-linux-v7.1"
    carried.write_text(FFMPEG)
    carried.chmod(0o755)
    monkeypatch.setattr(ffmpeg, "carried_ffmpeg", lambda: str(carried))
    monkeypatch.setattr(Look.run, "__kwdefaults__", {"timeout": 0.5})
    names = [each.name for each in ffmpeg.probe(bin.look()) if each.works]
    assert names == ["transcode", "encoder:libx264"]


def test_a_machine_without_ffmpeg_has_no_encoders(bin: Bin) -> None:
    """And one whose ffmpeg cannot be run is told so."""
    assert list(ffmpeg.probe(bin.look())) == []
    bin.add("ffmpeg", "#!/bin/sh\necho 'libavdevice.so.60: cannot open shared object' >&2; exit 127\n")
    [broken] = ffmpeg.probe(bin.look())
    assert broken == Capability(name="ffmpeg", works=False, why_not="libavdevice.so.60: cannot open shared object")


def test_docker_without_its_daemon_does_not_work(bin: Bin) -> None:
    """A client alone runs nothing."""
    bin.add("docker", "#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2; exit 1\n")
    assert list(docker.probe(bin.look())) == [
        Capability(name="docker", works=False, why_not="Cannot connect to the Docker daemon")
    ]
    bin.add("docker", "#!/bin/sh\necho 27.3.1\n")
    assert list(docker.probe(bin.look())) == [Capability(name="docker", version="27.3.1")]


def test_programs_are_looked_for_by_request(bin: Bin) -> None:
    """Beside those that the shipped routes name."""
    bin.add("HandBrakeCLI")
    bin.add("my-tool")
    assert [each.name for each in programs.probe(bin.look("my-tool", "not-there"))] == ["HandBrakeCLI", "my-tool"]


def test_a_probe_that_fails_or_hangs_only_means_absent(bin: Bin) -> None:
    """The others are heard; so is what it said before."""

    def raises(look: Look) -> Iterator[Capability]:
        yield Capability(name="before")
        raise RuntimeError("oops")

    def hangs(look: Look) -> Iterator[Capability]:
        yield Capability(name="early")
        time.sleep(20)
        yield Capability(name="late")

    def nonsense(look: Look) -> list[str]:
        return ["not a capability"]

    def good(look: Look) -> list[Capability]:
        return [Capability(name="good"), Capability(name="early", works=False)]

    each = [("a", raises), ("b", hangs), ("c", nonsense), ("d", good)]
    found = probes.found(bin.look(), each, limit=0.2)  # type: ignore[arg-type]
    assert [(one.name, one.works) for one in found] == [("before", True), ("early", True), ("good", True)]


def test_a_program_that_hangs_is_killed_with_what_it_started(tmp_path: Path) -> None:
    """A probe leaves nothing behind, though a grandchild holds the pipes."""
    began = time.monotonic()
    said = run(["/bin/sh", "-c", f"sleep 50 & echo $! > {tmp_path}/pid; wait"], os.environ, 2.0)
    assert said.code == 124
    assert time.monotonic() - began < 20
    grandchild = Path(f"/proc/{int((tmp_path / 'pid').read_text())}/stat")

    def gone() -> bool:
        try:
            return grandchild.read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    wait_until(gone)


def test_other_packages_add_probes_by_entry_point(
    monkeypatch: pytest.MonkeyPatch, bin: Bin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A package as pip leaves it; what cannot be loaded is passed over."""
    (tmp_path / "gpu_probe.py").write_text(
        "from relayq.model import Capability\n"
        "def probe(look):\n"
        "    yield Capability(name='gpu', version=look.run('sh', '-c', 'echo 550').out.strip())\n"
    )
    package = tmp_path / "gpu_probe-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: gpu-probe\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[relayq.probes]\nbroken = no_such_module:probe\ngpu = gpu_probe:probe\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert Capability(name="gpu", version="550") in probes.found(bin.look())
    assert "the probe broken cannot be loaded" in caplog.text


def test_what_was_found_is_known_at_the_next_start_if_no_program_changed(bin: Bin, tmp_path: Path) -> None:
    """Else only what is there, untried: a new ffmpeg may have lost an encoder."""
    memory, program = Memory(tmp_path), bin.add("ffmpeg", FFMPEG)
    untried = ((Capability(name="ffmpeg"), Capability(name="transcode")), False)
    assert memory.recall(bin.look()) == untried
    look = bin.look("my-tool")
    found = (Capability(name="ffmpeg", version="7.1"), Capability(name="encoder:x", works=False, why_not="no"))
    assert look.which("ffmpeg") == str(program)
    memory.remember(look, found)
    assert memory.recall(bin.look()) == (found, True)
    assert memory.programs() == ("my-tool",)
    os.utime(program, (1, 1))
    assert memory.recall(bin.look()) == untried
    (tmp_path / "capabilities.json").write_text('{"found": 3, "seen": [], "programs": 3}'[:-1])
    assert memory.recall(bin.look()) == untried


def test_facts_of_the_machine(tmp_path: Path) -> None:
    """What every machine tells of itself."""
    facts = machine.facts(tmp_path)
    assert facts["os"] == "linux"
    assert facts["arch"] in {"x86_64", "arm64"}
    assert int(facts["cores"]) >= 1
    assert int(facts["disk"]) >= int(facts["disk_free"])
    assert machine.installed(3_977_584_640) == 4 << 30  # a Raspberry Pi 4 with 4 GB
    assert machine.installed(500 << 20) == 500 << 20


def test_a_mac_tells_its_model() -> None:
    """In the words on its box."""
    profile = (
        '{"SPHardwareDataType": [{"machine_name": "Mac mini", "chip_type": "Apple M2", "machine_model": "Mac14,3"}]}'
    )
    assert machine._mac_model(profile) == "Mac mini (Apple M2)"
    assert machine._mac_model("") is None


def test_models_on_disk_are_told_by_the_names_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As each engine keeps them; where there is nothing, nothing is told."""
    cache, hub = tmp_path / "cache", tmp_path / "hf" / "hub"
    for folder in (
        hub / "models--Systran--faster-whisper-base.en",
        hub / "models--mlx-community--whisper-small-mlx",
        hub / "models--mlx-community--whisper-large-v3-turbo",
        hub / "models--somebody--else",
        cache / "whisper",
        tmp_path / "ggml",
    ):
        folder.mkdir(parents=True)
    (cache / "whisper" / "medium.pt").touch()
    (tmp_path / "ggml" / "ggml-tiny.bin").touch()
    (tmp_path / "ggml" / "README").touch()
    monkeypatch.setenv("WHISPER_CPP_MODELS", str(tmp_path / "ggml"))
    env = {"XDG_CACHE_HOME": str(cache), "HF_HOME": str(tmp_path / "hf")}
    assert transcription.models("faster-whisper", env) == ["base.en"]
    assert transcription.models("mlx-whisper", env) == ["large-v3-turbo", "small"]
    assert transcription.models("openai-whisper", env) == ["medium"]
    assert "tiny" in transcription.models("whisper.cpp", env)
    assert transcription.models("faster-whisper", {"HF_HUB_CACHE": str(tmp_path / "nowhere")}) == []


def test_engines_are_found_with_their_versions_and_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And any engine is enough to transcribe."""
    monkeypatch.setattr("relayq.media.engines.found", lambda: ("whisper.cpp", "pocketsphinx", "transcribe"))
    monkeypatch.setenv("WHISPER_CPP_MODELS", str(tmp_path))
    (tmp_path / "ggml-base.bin").touch()
    found = {each.name: each.version for each in transcription.probe(Look())}
    assert {"whisper.cpp", "whisper.cpp:base", "pocketsphinx", "transcribe"} <= set(found)
    assert found["whisper.cpp"] is None
    assert all(trouble(name) is None for name in found)  # so that jobs can ask for them
