"""The scripts people paste: they find Python, install the package and hand over; what is not all there does nothing."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ("install-broker.sh", "install-worker.sh", "install-worker-rpi.sh")
SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]


def shell_argv(shell: str) -> list[str]:
    program = shutil.which(shell) or shell
    return [program, "sh"] if shell == "busybox" else [program]


def test_they_are_made_of_their_parts() -> None:
    """Mend with: scripts/installers"""
    subprocess.run([sys.executable, ROOT / "scripts/installers", "--check"], check=True)


@pytest.mark.parametrize("name", NAMES)
def test_they_are_plain_posix_sh(name: str) -> None:
    """dash, busybox and the bash 3.2 of macOS run them."""
    for shell in SHELLS:
        subprocess.run([*shell_argv(shell), "-n", ROOT / name], check=True)
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([shellcheck, "-s", "sh", ROOT / name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    lines = (ROOT / name).read_text().splitlines()
    assert lines[0] == "#!/bin/sh"
    assert "set -eu" in lines[:6]
    assert lines[-1] == '{ main "$@"; }'


@pytest.mark.parametrize("name", NAMES)
def test_a_download_that_broke_off_does_nothing(name: str, tmp_path: Path) -> None:
    """Wherever it broke off: at every line, everywhere in what is outside of functions, and at places in between."""
    stubs, calls = tmp_path / "bin", tmp_path / "calls"
    stubs.mkdir()
    for command in ("uname", "mktemp", "id", "df", "sudo", "apt-get", "cat", "python3", "rm", "mkdir", "cp"):
        (stubs / command).write_text(f'#!/bin/sh\necho {command} "$@" >>{calls}\n')
        (stubs / command).chmod(0o755)
    text = (ROOT / name).read_bytes()
    whole = len(text.rstrip())
    ends = {i + 1 for i, byte in enumerate(text) if byte == ord("\n")}
    cuts = ends | set(range(600)) | set(range(whole - 300, whole)) | set(range(0, whole, 23))
    dash = shutil.which("dash") or "/bin/sh"
    for cut in sorted(cut for cut in cuts if cut < whole):
        subprocess.run([dash], input=text[:cut], env={"PATH": str(stubs)}, capture_output=True, check=False)
        assert not calls.exists(), f"the first {cut} bytes ran: {calls.read_text()}"
    # And the test can see it: the whole script does begin.
    subprocess.run([dash], input=text[:whole], env={"PATH": str(stubs), "HOME": "/"}, capture_output=True, check=False)
    assert calls.exists()


@pytest.mark.parametrize("name", NAMES)
def test_their_help_names_every_option(name: str, tmp_path: Path) -> None:
    """It is there before Python is, so it is a text of its own; this holds it to the program."""
    from relayq.cli.setup import command

    verb = "broker" if "broker" in name else "worker"
    said = subprocess.run(["sh", ROOT / name, "--help"], capture_output=True, text=True, check=True).stdout
    for option in command.commands[verb].params:
        assert option.opts[0] in said.split(), option.opts[0]
    version = subprocess.run(["sh", ROOT / name, "--version"], capture_output=True, text=True, check=True).stdout
    assert version.strip() in (ROOT / "pyproject.toml").read_text()


# ── for real, with a small package in relayq's place ──


def make_wheel(folder: Path, version: str = "2.0.0") -> Path:
    """A package whose `relayq` notes how it was called."""
    folder.mkdir(parents=True, exist_ok=True)
    code = (
        "import json, os, sys\n"
        "def main():\n"
        "    if sys.argv[1:] == ['--version']: return\n"
        "    env = {k: v for k, v in os.environ.items() if k.startswith('RELAYQ_')}\n"
        "    said = {'argv': sys.argv[1:], 'env': env, 'prefix': sys.prefix, 'stdin': sys.stdin.read()}\n"
        "    print(json.dumps(said), file=open(os.environ['CALLED'], 'a'))\n"
    )
    info = f"relayq-{version}.dist-info"
    extras = "Provides-Extra: server\nProvides-Extra: top\n"
    files = {
        "relayq.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: relayq\nVersion: {version}\n{extras}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nrelayq = relayq:main\n",
    }
    records = [f"{n},sha256={_b64(t)},{len(t)}" for n, t in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*records, f"{info}/RECORD,,"]) + "\n"
    wheel = folder / f"relayq-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return wheel


def _b64(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


class Bench:
    """A home, stubs, and what `relayq` was called with."""

    def __init__(self, folder: Path) -> None:
        self.home, self.bin, self.called = folder / "home", folder / "bin", folder / "called"
        self.calls = folder / "calls"
        self.prefix = self.home / ".local/share/relayq"
        for path in (self.home, self.bin, folder / "tmp"):
            path.mkdir()
        self.env = {
            "HOME": str(self.home),
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "TMPDIR": str(folder / "tmp"),
            "CALLED": str(self.called),
            "RELAYQ_PYTHON": sys.executable,
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
        }
        self.stub("tailscale", "exit 1")

    def stub(self, name: str, body: str) -> None:
        (self.bin / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{self.calls}\n{body}\n')
        (self.bin / name).chmod(0o755)

    def run(self, name: str, *args: str, shell: str = "sh", code: int = 0, **env: str) -> str:
        """Through a pipe, as people do; what it said."""
        with (ROOT / name).open() as script:
            done = subprocess.run(
                [*shell_argv(shell), "-s", "--", *args],
                stdin=script,
                env={**self.env, **env},
                capture_output=True,
                text=True,
                check=False,
                start_new_session=True,  # no terminal
            )
        assert done.returncode == code, done.stderr
        assert list(Path(self.env["TMPDIR"]).iterdir()) == []
        return done.stderr

    def last(self) -> dict[str, object]:
        """The last call of `relayq`."""
        return json.loads(self.called.read_text().splitlines()[-1])  # type: ignore[no-any-return]

    def venvs(self) -> list[Path]:
        return sorted(self.prefix.glob("venvs/*"))

    def activate(self) -> None:
        """As `relayq setup` does."""
        (self.prefix / "current").unlink(missing_ok=True)
        (self.prefix / "current").symlink_to(self.venvs()[-1])


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


class Server(http.server.ThreadingHTTPServer):
    """As much of relayq's server as an installer asks."""

    def __init__(self, wheel: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.wheel = wheel
        self.damaged = False
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        content = self.server.wheel.read_bytes()
        if self.path == "/version":
            said = {"version": "2", "wheel": self.server.wheel.name, "sha256": hashlib.sha256(content).hexdigest()}
            content = json.dumps(said).encode()
        elif self.server.damaged:
            content = content[:-9]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(make_wheel(tmp_path / "served")) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_worker_installs_the_broker_s_package_and_hands_over(bench: Bench, server: Server, shell: str) -> None:
    """Also under a umask that would hide everything, and behind a proxy that knows no tailnet."""
    os_umask = os.umask(0o077)
    try:
        env = {"RELAYQ_SERVER": server.url, "RELAYQ_TOKEN": "secret", "http_proxy": "http://127.0.0.1:9"}
        said = bench.run("install-worker.sh", "--name", "nas", shell=shell, **env)
    finally:
        os.umask(os_umask)
    (venv,) = bench.venvs()
    called = bench.last()
    assert called["argv"] == ["setup", "worker", "--name", "nas"]
    assert called["prefix"] == str(venv)
    assert called["stdin"] == ""
    assert called["env"]["RELAYQ_SERVER"] == server.url  # type: ignore[index]
    assert called["env"]["RELAYQ_TOKEN"] == "secret"  # type: ignore[index]
    assert "secret" not in said
    assert (venv / "wheel" / server.wheel.name).read_bytes() == server.wheel.read_bytes()
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in venv.rglob("*.py"))
    assert f"folder {bench.home}/.local\n" in (venv / "made").read_text()


def test_run_again_it_installs_only_another_package(bench: Bench, server: Server) -> None:
    """The same: nothing is changed. A broken one: it is replaced."""
    bench.run("install-worker.sh", RELAYQ_SERVER=server.url)
    bench.activate()
    said = bench.run("install-worker.sh", RELAYQ_SERVER=server.url)
    assert "installed already" in said
    assert len(bench.venvs()) == 1
    assert bench.last()["prefix"] in (str(bench.prefix / "current"), str(bench.venvs()[0]))
    (bench.venvs()[0] / "bin/relayq").unlink()
    bench.venvs()[0].rename(bench.prefix / "venvs/20200101-000000")
    bench.activate()
    bench.run("install-worker.sh", RELAYQ_SERVER=server.url)
    assert len(bench.venvs()) == 2
    server.wheel = make_wheel(server.wheel.parent, "2.1.0")
    bench.venvs()[-1].rename(bench.prefix / "venvs/20200101-000001")
    bench.activate()
    bench.run("install-worker.sh", RELAYQ_SERVER=server.url)
    assert (bench.venvs()[-1] / "wheel/relayq-2.1.0-py3-none-any.whl").exists()


def test_a_damaged_package_is_not_installed(bench: Bench, server: Server) -> None:
    """Its hash is the broker's word."""
    server.damaged = True
    assert "damaged" in bench.run("install-worker.sh", code=1, RELAYQ_SERVER=server.url)
    assert not bench.prefix.exists()


@pytest.mark.parametrize(
    "config", ["broker: {{host: 127.0.0.1, port: 6379, db: 0}}", "broker:\n  url: redis://a:b@127.0.0.1:6379/0"]
)
def test_run_bare_a_worker_finds_its_old_broker(bench: Bench, server: Server, config: str) -> None:
    """A file of 1.x names the host."""
    (bench.home / ".relayq").mkdir()
    (bench.home / ".relayq/config.yml").write_text(config.format())
    bench.run("install-worker-rpi.sh", RELAYQ_SERVER_PORT=str(server.server_port))
    assert bench.last()["env"]["RELAYQ_SERVER"] == server.url  # type: ignore[index]
    assert bench.last()["env"]["RELAYQ_PROFILE"] == "rpi"  # type: ignore[index]


def tailnet_of(*addresses: str, **more: object) -> str:
    peers = {f"nodekey:{n}": {"Online": True, "TailscaleIPs": [a], **more} for n, a in enumerate(addresses)}
    status = {"Self": {"TailscaleIPs": ["127.0.0.9"]}, "Peer": peers}
    return f"echo '{json.dumps(status)}'"


def test_run_bare_a_worker_asks_its_tailnet(bench: Bench, server: Server) -> None:
    """Its owner's machines; not those that others share."""
    port = str(server.server_port)
    bench.stub("tailscale", tailnet_of("127.0.0.8", "127.0.0.1"))
    bench.run("install-worker.sh", RELAYQ_SERVER_PORT=port)
    assert bench.last()["env"]["RELAYQ_SERVER"] == server.url  # type: ignore[index]
    bench.stub("tailscale", tailnet_of("127.0.0.1", ShareeNode=True))
    said = bench.run("install-worker.sh", code=1, RELAYQ_SERVER_PORT=port)
    assert "relayq token new" in said
    assert "/join | RELAYQ_TOKEN" in said


def test_without_a_broker_what_is_there_is_mended(bench: Bench, server: Server) -> None:
    """From the package that was kept; a machine that never joined, or is to join, needs its broker."""
    bench.run("install-worker.sh", RELAYQ_SERVER=server.url)
    bench.activate()
    venv = bench.venvs()[0].rename(bench.prefix / "venvs/20200101-000000")
    bench.activate()
    (venv / "bin/relayq").unlink()
    said = bench.run("install-worker.sh", "--slots", "3")
    assert "found none" in said
    assert f"mending what is here, with {server.wheel.name}" in said
    assert bench.last()["argv"] == ["setup", "worker", "--slots", "3"]
    assert bench.last()["prefix"] == str(bench.venvs()[-1])
    assert bench.venvs()[-1] != venv
    assert "RELAYQ_SERVER" not in bench.last()["env"]  # type: ignore[operator]
    for variable in ({"RELAYQ_TOKEN": "secret"}, {"RELAYQ_SERVER": "http://127.0.0.1:1"}):
        assert "mending" not in bench.run("install-worker.sh", code=1, **variable)


def test_an_address_that_does_not_answer_is_said(bench: Bench) -> None:
    """And nothing is installed."""
    assert "does not answer" in bench.run("install-worker.sh", code=1, RELAYQ_SERVER="http://127.0.0.1:1")
    assert not bench.prefix.exists()


@pytest.mark.parametrize("how", [["--dry-run"], []])
def test_a_dry_run_shows_the_rest_and_leaves_nothing(bench: Bench, server: Server, how: list[str]) -> None:
    """Python's part is shown from a copy; a variable is as good as the option."""
    variables = {} if how else {"RELAYQ_DRY_RUN": "1"}
    said = bench.run("install-worker.sh", *how, RELAYQ_SERVER=server.url, **variables)
    assert "would install" in said
    assert bench.last()["argv"] == ["setup", "worker", *how]
    assert bench.last()["env"]["RELAYQ_DRY_RUN"] == "1"  # type: ignore[index]
    assert list(bench.home.iterdir()) == []
    bench.run("install-worker.sh", RELAYQ_SERVER=server.url, RELAYQ_DRY_RUN="0")
    assert len(bench.venvs()) == 1


def test_uninstalling_is_python_s(bench: Bench, server: Server) -> None:
    """The script only finds it; where nothing is, it says so."""
    assert "no relayq" in bench.run("install-worker.sh", "--uninstall", code=1)
    bench.run("install-worker.sh", RELAYQ_SERVER=server.url)
    bench.activate()
    bench.run("install-worker.sh", "--uninstall", "--purge")
    assert bench.last()["argv"] == ["setup", "worker", "--uninstall", "--purge"]


def test_a_broker_is_installed_as_root_by_single_commands(bench: Bench, tmp_path: Path) -> None:
    """From any user's shell: only what needs root goes through sudo; a missing Python is installed first."""
    wheel, prefix = make_wheel(tmp_path / "dist"), tmp_path / "opt/relayq"
    bench.stub("id", "echo 1000")
    bench.stub("systemctl", "")
    bench.stub("sudo", 'exec "$@"')
    bench.stub("dpkg-query", f"echo base-files; [ ! -e {bench.bin}/python9 ] || echo python3-venv")
    # The check would refuse one of somebody's home, as the one that runs the tests may be.
    python = tmp_path / "python9"
    python.write_text(f'#!/bin/sh\ncase $1 in -c) exit 0 ;; esac\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    bench.stub("apt-get", f"case $* in *install*) ln -s {python} {bench.bin}/python9 ;; esac")
    env = {"RELAYQ_PREFIX": str(prefix), "RELAYQ_SPEC": str(wheel), "RELAYQ_PYTHON": "python9"}
    said = bench.run("install-broker.sh", "--yes", **env)
    assert bench.last()["argv"] == ["setup", "broker", "--yes"]
    (venv,) = prefix.glob("venvs/*")
    assert "package python3-venv\n" in (venv / "made").read_text()
    assert f"folder {prefix}\n" in (venv / "made").read_text()
    calls = bench.calls.read_text()
    assert "sudo env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120" in calls
    assert "--no-install-recommends install python3 python3-venv" in calls
    assert f"sudo {bench.bin}/python9 -m venv {venv}" in calls
    assert f"  sudo mkdir {venv}/wheel" in said
    (prefix / "current").symlink_to(venv)
    assert "installed already" in bench.run("install-broker.sh", **env)


def test_a_machine_that_is_not_fit_is_told_everything_at_once(bench: Bench, tmp_path: Path) -> None:
    """Before anything is touched."""
    shutil.copy("/usr/bin/env", bench.bin / "env")
    bench.stub("id", "echo 1000")
    bench.stub("df", "echo; echo /dev/x 1 1 1000 1% /")
    for command in ("uname", "mktemp", "rm", "dirname", "awk", "sh", "printf"):
        (bench.bin / command).symlink_to(shutil.which(command) or f"/usr/bin/{command}")
    said = bench.run("install-broker.sh", code=1, PATH=str(bench.bin), shell=str(shutil.which("sh")))
    for word in ("apt-get", "systemd", "sudo", "MB free"):
        assert word in said
    assert not bench.called.exists()


def test_a_worker_is_not_installed_through_sudo(bench: Bench) -> None:
    """It would be root's, in root's home."""
    bench.stub("id", "echo 0")
    assert "without sudo" in bench.run("install-worker.sh", code=1, SUDO_USER="ada")


def test_no_python_and_no_way_to_get_one_is_a_sentence(bench: Bench, server: Server) -> None:
    """It names what to install."""
    for command in ("uname", "mktemp", "rm", "dirname", "awk", "df", "id", "getconf"):
        (bench.bin / command).symlink_to(shutil.which(command) or "")
    env = {"RELAYQ_PYTHON": "python-none", "PATH": str(bench.bin), "RELAYQ_SERVER": server.url}
    said = bench.run("install-worker.sh", code=1, shell=str(shutil.which("sh")), **env)
    assert "Python 3.11" in said
    assert "dnf install" in said
