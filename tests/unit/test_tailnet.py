"""What Tailscale says, from a stand-in for its command with the behaviour of the real one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import monotonic

import pytest

from relayq import tailnet

SELF = {
    "ID": "n1", "HostName": "Pi of Ada", "DNSName": "rpi4.tail1234.ts.net.", "OS": "linux", "UserID": 1,
    "TailscaleIPs": ["fd7a:115c:a1e0::1", "100.64.0.13"], "Online": True, "KeyExpiry": "2026-12-24T10:11:12Z",
}  # fmt: skip
PEERS = {
    "nodekey:aa": {
        "HostName": "vm", "DNSName": "vm.tail1234.ts.net.", "OS": "linux",
        "TailscaleIPs": ["100.64.0.11"], "Online": True,
    },
    "nodekey:bb": {"HostName": "phone", "DNSName": "", "OS": "iOS", "TailscaleIPs": None, "Online": False},
}  # fmt: skip
RUNNING = {
    "Version": "1.98.1-t0-g1", "BackendState": "Running", "TailscaleIPs": SELF["TailscaleIPs"], "Self": SELF,
    "Health": [], "CurrentTailnet": {"Name": "ada", "MagicDNSSuffix": "tail1234.ts.net"}, "Peer": PEERS,
}  # fmt: skip


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a `tailscale` on PATH; called without a script, there is none anywhere."""
    monkeypatch.setattr(tailnet, "PLACES", ())
    monkeypatch.setenv("PATH", str(tmp_path))

    def put(script: str = "", *, said: object = None) -> None:
        if said is not None:
            (tmp_path / "said.json").write_text(json.dumps(said))
            script = f'[ "$1 $2" = "status --json" ] && exec /bin/cat "{tmp_path}/said.json"; exit 2'
        if script:
            (tmp_path / "tailscale").write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / "tailscale").chmod(0o755)

    return put


def test_a_connected_machine_has_its_name_address_and_peers(stub):
    """Everything of a node that runs, from the command's own JSON."""
    stub(said=RUNNING)
    found = tailnet.look()
    assert (found.installed, found.state, found.online, found.trouble) == (True, "Running", True, None)
    assert (found.name, found.dns_name, found.address) == ("rpi4", "rpi4.tail1234.ts.net", "100.64.0.13")
    assert found.addresses == ("fd7a:115c:a1e0::1", "100.64.0.13")
    assert found.version == "1.98.1-t0-g1"
    assert found.key_expires_at == 1798107072.0
    vm, phone = found.peers
    assert (vm.name, vm.dns_name, vm.address, vm.online, vm.os) == (
        "vm", "vm.tail1234.ts.net", "100.64.0.11", True, "linux",
    )  # fmt: skip
    assert (phone.name, phone.dns_name, phone.addresses, phone.online) == ("phone", None, (), False)


@pytest.mark.parametrize(
    ("state", "word"),
    [("Stopped", "stopped"), ("NeedsLogin", "logged out"), ("NeedsMachineAuth", "approved"), ("Starting", "starting")],
)
def test_an_address_alone_is_no_connection(stub, state, word):
    """It stays while Tailscale is stopped or logged out; only Running and online counts."""
    stub(said={**RUNNING, "BackendState": state})
    found = tailnet.look()
    assert (found.installed, found.state, found.online) == (True, state, False)
    assert found.address == "100.64.0.13"
    assert word in (found.trouble or "")


def test_running_without_its_servers_is_not_online(stub):
    """A machine whose internet is gone says Running and Online false."""
    stub(said={**RUNNING, "Self": {**SELF, "Online": False}})
    found = tailnet.look()
    assert (found.state, found.online) == ("Running", False)
    assert "not connected" in (found.trouble or "")


def test_a_machine_without_addresses_answers_null():
    """As Tailscale writes it when logged out: null lists, no peers, no tailnet."""
    found = tailnet.parse(
        {"Version": "1", "BackendState": "NeedsLogin", "TailscaleIPs": None, "CurrentTailnet": None, "Peer": None,
         "Self": {"HostName": "rpi", "DNSName": "", "TailscaleIPs": None, "Online": False,
                  "KeyExpiry": "0001-01-01T00:00:00Z"}}
    )  # fmt: skip
    assert (found.address, found.addresses, found.peers, found.dns_name) == (None, (), (), None)
    assert found.name == "rpi"
    assert found.key_expires_at is None


def test_a_daemon_that_is_down_is_said_in_its_own_words(stub):
    """The command fails without JSON."""
    stub('echo "failed to connect to local tailscaled; it doesn\'t appear to be running" >&2; exit 1')
    found = tailnet.look()
    assert (found.installed, found.state, found.online) == (True, tailnet.UNKNOWN, False)
    assert "failed to connect to local tailscaled" in (found.trouble or "")
    assert "systemctl restart tailscaled" in (found.trouble or "") or sys.platform == "darwin"


def test_a_machine_without_tailscale_is_told_how_to_get_it(stub):
    """No command on PATH and in no known place."""
    stub()
    found = tailnet.look()
    assert (found.installed, found.state, found.online, found.address) == (False, tailnet.NOT_INSTALLED, False, None)
    assert "not installed" in (found.trouble or "")


def test_the_command_in_the_app_is_found_when_path_has_none(stub, tmp_path, monkeypatch):
    """The Mac's app brings the command in its bundle, and needs to be told that it is one."""
    app = tmp_path / "Tailscale.app" / "Tailscale"
    app.parent.mkdir()
    (tmp_path / "said.json").write_text(json.dumps(RUNNING))
    app.write_text(f'#!/bin/sh\n[ "$TAILSCALE_BE_CLI" = 1 ] && exec /bin/cat "{tmp_path}/said.json"\n')
    app.chmod(0o755)
    stub()
    monkeypatch.setattr(tailnet, "PLACES", ("/nowhere/tailscale", str(app)))
    assert tailnet.look().online


def test_a_command_that_hangs_is_given_up(stub):
    """A daemon that is stuck must not hold up an installer."""
    stub("exec /bin/sleep 60")
    began = monotonic()
    found = tailnet.look(timeout=0.3)
    assert monotonic() - began < 10
    assert (found.state, found.online) == (tailnet.UNKNOWN, False)
    assert "within 0.3 s" in (found.trouble or "")


@pytest.mark.parametrize("said", ["", "null", "[]", '{"Self": 5, "Peer": [1], "TailscaleIPs": ["x", 3]}', "not JSON"])
def test_an_answer_that_is_not_understood_is_no_crash(stub, said):
    """Whatever another version prints."""
    stub(f"printf '%s' '{said}'")
    found = tailnet.look()
    assert (found.installed, found.online, found.address, found.peers) == (True, False, None, ())
    assert found.trouble


def test_a_command_that_cannot_run_is_no_crash(stub):
    """A broken interpreter line, or another machine's binary."""
    stub()
    stub("true")
    path = Path(tailnet._program() or "")
    path.write_text("#!/nowhere/sh\n")
    assert not tailnet.look().online
