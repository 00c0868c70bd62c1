"""A machine that is not as it should be: the command line says so in a sentence, and never hangs or goes on half."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from relayq.errors import BrokerRefused, BrokerUnavailable
from relayq.model import JobSpec
from relayq.store import NewJob
from relayq.store.redis import RedisStore
from tests.conftest import as_admin, free_port, serve_redis, wait_until

from .test_cli import Shell


@pytest.fixture
def nowhere(tmp_path: Path) -> Shell:
    """A machine whose RELAYQ_HOME is a file."""
    shell = Shell(tmp_path / "home", None)
    (tmp_path / "file").write_text("")
    shell.env["RELAYQ_HOME"] = str(tmp_path / "file")
    return shell


@pytest.mark.parametrize("below", ["", "/home"], ids=["a-file", "below-a-file"])
def test_up_says_that_the_home_cannot_be_used(nowhere: Shell, below: str) -> None:
    """And how to name another."""
    nowhere.env["RELAYQ_HOME"] += below
    done = nowhere("up")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"relayq: cannot use {nowhere.env['RELAYQ_HOME']} (")
    assert done.stderr.endswith("set RELAYQ_HOME to one\n")
    assert done.stderr.count("\n") == 1


def test_a_worker_without_a_usable_home_ends(nowhere: Shell) -> None:
    """Celery swallows what its signal handlers raise: the worker went on, heard rings and took no job."""
    nowhere.env["RELAYQ_BROKER_URL"] = f"redis://127.0.0.1:{free_port()}/0"
    done = nowhere("worker", "--no-restart", timeout=20)
    assert done.returncode == 1
    [said] = [line for line in done.stderr.splitlines() if line.startswith("relayq: ")]
    assert "cannot use" in said
    assert "Traceback" not in done.stderr


def test_a_worker_that_may_not_be_so_nice_ends(tmp_path: Path) -> None:
    """Nobody but root may push others aside; a worker without its agent would be worse than none."""
    shell = Shell(tmp_path / "home", f"redis://127.0.0.1:{free_port()}/0")
    shell.env["RELAYQ_NICE"] = "-5"
    refuse = "import os\ndef no(n): raise PermissionError(1, 'Operation not permitted')\nos.nice = no\n"
    (tmp_path / "sitecustomize.py").write_text(refuse)
    shell.env["PYTHONPATH"] = f"{tmp_path}:{shell.env.get('PYTHONPATH', '')}"
    done = shell("worker", "--no-restart", timeout=20)
    assert done.returncode == 2
    assert "relayq: worker.nice is -5; below 0 it needs root" in done.stderr


def test_the_address_is_said_once(tmp_path: Path) -> None:
    """The reason, without the library's words around it."""
    port = free_port()
    done = Shell(tmp_path / "home", f"redis://127.0.0.1:{port}/0")("list")
    assert done.stderr.startswith(f"relayq: the broker at 127.0.0.1:{port}/0 does not answer (Connection refused). ")


def test_a_broker_whose_disk_is_full_is_waited_for(tmp_path: Path) -> None:
    """It takes writes again when there is space: no reason for a worker to give up, and a sentence for its owner."""
    folder = tmp_path / "redis"
    folder.mkdir()
    with serve_redis(folder) as url, redis.Redis.from_url(as_admin(url)) as client:
        client.config_set("save", "3600 1")
        shutil.rmtree(folder)
        client.set("x", "y")
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
        store = RedisStore(url)
        with pytest.raises(BrokerUnavailable, match="cannot write to its disk") as caught:
            store.submit([NewJob(id="a", spec=JobSpec(command="true"), lane="any")])
        store.close()
        client.config_set("save", "")  # else it would not end
    assert not isinstance(caught.value, BrokerRefused)


#: Ctrl-C arrives while a module is loaded that swallows it, as redis-py's do.
LOADING = """
import os, signal
from relayq.cli.context import _leaving_at_once
with _leaving_at_once():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        import asyncio
    except KeyboardInterrupt:
        pass
print("went on")
"""


def test_ctrl_c_while_modules_are_loaded_leaves_at_once() -> None:
    """Half a module is a NameError later."""
    done = subprocess.run([sys.executable, "-c", LOADING], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
