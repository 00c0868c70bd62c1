"""Machines and this machine, from the command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from relayq.cli.app import VERBS, cli
from relayq.errors import BrokerRefused, BrokerUnavailable
from relayq.model import Capability
from tests.unit.cli import Line


@pytest.fixture
def line() -> Line:
    """A command line with one worker."""
    line = Line()
    line.worker()
    return line


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine without any setting."""
    for name in [name for name in os.environ if name.startswith("RELAYQ_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RELAYQ_HOME", str(tmp_path))
    return tmp_path


def test_status_shows_what_runs_where_and_for_how_long() -> None:
    """One screen answers what goes on; a job that says nothing of its progress runs as well."""
    line = Line()
    line.worker(slots=12)
    line.submit("a", command="make -j4")
    line.claim()
    line.now += 90
    [row] = [row for row in line("status").stdout.splitlines() if row.startswith("a ")]
    assert row.split() == ["a", "mac-mini", "90", "s", "make", "-j4"]
    for number in range(10):
        line.submit(f"more-{number}")
        line.claim()
    assert "and 3 more. See: relayq list --state running" in line("status").stdout


def test_status_has_the_promised_keys_and_no_password(line: Line) -> None:
    """The schema of `status --json`."""
    line.submit("a", needs=("cuda",))
    line.submit("b", needs=("cuda",))
    status = line.json("status")
    assert status["broker"] == {
        "url": "redis://:***@nas:6379/0",
        "source": "the program",
        "online": True,
        "error": None,
    }
    assert status["workers"]["mac-mini"]["labels"] == ["mac"]
    assert status["workers"]["mac-mini"]["name"] == "mac-mini"
    assert status["jobs"]["queued"] == status["total_queued"] == 2
    [reason] = status["waiting"]
    assert (reason["count"], reason["example"]) == (2, "a")
    assert "secret" not in line("status").output


def test_status_says_why_jobs_wait(line: Line) -> None:
    """Each reason once."""
    line.submit("a", needs=("cuda",))
    line.submit("b", needs=("cuda",))
    assert "a waits: there is no worker that has cuda yet (1 more like it)" in line("status").stdout


@pytest.mark.parametrize(("error", "code"), [(BrokerUnavailable("it is away"), 4), (BrokerRefused("no"), 5)])
def test_status_of_a_broker_that_is_away(
    line: Line, monkeypatch: pytest.MonkeyPatch, error: BrokerUnavailable, code: int
) -> None:
    """What is known is printed all the same, and the exit code tells."""

    def away() -> None:
        raise error

    monkeypatch.setattr(line.store, "workers", away)
    result = line("status", "--json")
    status = json.loads(result.stdout)
    assert result.exit_code == code
    assert (status["broker"]["online"], status["broker"]["error"], status["workers"]) == (False, str(error), {})
    assert result.stderr == f"relayq: {error}\n"


def test_workers_by_what_they_have(line: Line) -> None:
    """As grep: 1 if there is none."""
    line.worker("rpi", labels=("rpi",))
    assert set(line.json("workers", "--needs", "rpi")) == {"rpi"}
    result = line("workers", "--needs", "rpi,cuda")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no worker has cuda and rpi" in result.stderr


def test_a_worker_that_is_away_can_be_removed(line: Line) -> None:
    """One that is online cannot."""
    assert line("worker", "remove", "mac-mini").exit_code == 5
    line.now += 60
    assert line("worker", "remove", "mac-mini").exit_code == 0
    assert line.json("workers") == {}


def test_config_tells_values_and_sources_without_the_password(home: Path) -> None:
    """`config show` asks no broker."""
    (home / "config.yml").write_text("broker: {url: 'redis://:secret@nas:6379/0'}\nworker: {name: pi}\n")
    result = CliRunner().invoke(cli, ["config", "show"])
    assert result.exit_code == 0
    assert "worker.name" in result.stdout
    assert "secret" not in result.stdout
    shown = json.loads(CliRunner().invoke(cli, ["config", "show", "--json"]).stdout)
    assert shown["worker.name"] == {"value": "pi", "source": f"{home}/config.yml (worker.name)"}
    assert CliRunner().invoke(cli, ["config", "path"]).stdout.strip() == f"{home}/config.yml"


def test_config_show_of_a_key_prints_the_value_alone(home: Path) -> None:
    """For $(…): no padding, no source; the password only if it is asked for."""
    (home / "config.yml").write_text("broker: {url: 'redis://:secret@nas:6379/0'}\nworker: {slots: 3}\n")

    def show(*args: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(cli, ["config", "show", *args])
        return result.exit_code, result.stdout, result.stderr

    assert show("broker.url") == (0, "redis://:***@nas:6379/0\n", "")
    assert show("broker.url", "--secrets") == (0, "redis://:secret@nas:6379/0\n", "")
    assert show("worker.max_concurrent") == show("worker.slots") == (0, "3\n", "")
    assert show("home") == (0, f"{home}\n", "")
    shown = json.loads(show("broker.url", "--secrets", "--json")[1])
    source = f"{home}/config.yml (broker.url)"
    assert shown == {"broker.url": {"value": "redis://:secret@nas:6379/0", "source": source}}
    assert show("server.url") == (1, "", "relayq: server.url is not set. See: relayq config show\n")


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("broker.ulr", 'did you mean "broker.url"?'),
        ("worker.url", 'did you mean "broker.url"?'),
        ("broker.host", "there are: broker.url, broker.admin_url"),
        ("nonsense.zzz", "there are: home, broker.url"),
    ],
)
def test_config_show_of_an_unknown_key_names_the_one_that_was_meant(home: Path, key: str, hint: str) -> None:
    """Exit code 2; a key of the file alone is not offered, for it cannot be shown."""
    for extra in ([], ["--json"]):
        result = CliRunner().invoke(cli, ["config", "show", key, *extra])
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith(f'relayq: there is no setting "{key}"; ')
        assert hint in result.stderr


def test_an_unknown_key_is_a_sentence(home: Path) -> None:
    """Exit code 2, with the key that was probably meant."""
    (home / "config.yml").write_text("worker: {nmae: pi}\n")
    for args in (["config", "show"], ["list"], ["worker"], ["up"]):
        result = CliRunner().invoke(cli, args)
        assert result.exit_code == 2, args
        assert 'did you mean "worker.name"?' in result.stderr


def test_without_a_broker_every_verb_says_how_to_get_one(home: Path) -> None:
    """Exit code 5, because trying again does not help; 255 where the code is a job's."""
    codes = {verb: CliRunner().invoke(cli, args) for verb, args in NEED_A_BROKER.items()}
    assert all("relayq up" in result.stderr for result in codes.values())
    assert {verb for verb, result in codes.items() if result.exit_code == 255} == {"run", "wait"}
    assert {result.exit_code for result in codes.values()} == {5, 255}


NEED_A_BROKER = {
    "run": ["run", "--", "true"],
    "submit": ["submit", "--", "true"],
    "map": ["map", "true", "--", "1"],
    "list": ["list"],
    "show": ["show", "x"],
    "logs": ["logs", "x"],
    "wait": ["wait", "x"],
    "cancel": ["cancel", "x"],
    "retry": ["retry", "x"],
    "explain": ["explain", "x"],
    "status": ["status"],
    "workers": ["workers"],
    "worker": ["worker"],
}


def test_worker_becomes_the_worker_process(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options win over settings, and reach the process through its environment."""
    became: list[tuple[str, list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execve", lambda path, argv, env: became.append((path, argv, env)))
    for name, value in (("BROKER_URL", "redis://nas:6379/0"), ("LABELS", "x"), ("WORKER_NAME", "x"), ("SLOTS", "9")):
        monkeypatch.setenv(f"RELAYQ_{name}", value)
    given = ["--name", "pi", "--slots", "3", "--labels", "rpi, light", "--log-file", "50%.log"]
    result = CliRunner().invoke(cli, ["worker", "--no-restart", *given])
    assert result.exit_code == 0, result.output
    [(path, argv, env)] = became
    assert path == sys.executable
    assert env["RELAYQ_LABELS"] == "rpi,light"
    assert env["RELAYQ_LOG_FILE"] == f"{Path.cwd()}/50%.log"
    assert {"relayq.tasks", "worker", "--concurrency=3", "--hostname=pi@%h"} <= set(argv)
    assert not any("%.log" in word for word in argv)  # Celery would take it for a pattern


@pytest.mark.parametrize("option", ["--labels=a/b", "--slots=0", "--name=-x", "--log-level=loud"])
def test_a_worker_is_not_started_with_a_wrong_option(home: Path, option: str) -> None:
    """Exit code 2, before anything becomes a worker."""
    result = CliRunner().invoke(cli, ["worker", option])
    assert result.exit_code == 2
    assert result.stderr.startswith("relayq: Invalid value for")


def test_up_refuses_if_a_broker_is_configured(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to do instead, without the password."""
    monkeypatch.setenv("RELAYQ_BROKER_URL", "redis://:secret@nas:6379/0")
    result = CliRunner().invoke(cli, ["up"])
    assert result.exit_code == 5
    assert "relayq worker" in result.stderr
    assert "secret" not in result.stderr


def test_down_with_nothing_up_does_nothing(home: Path) -> None:
    """And that is no error."""
    result = CliRunner().invoke(cli, ["down"])
    assert (result.exit_code, result.stderr) == (0, "relayq: nothing was up\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_program(shell: str) -> None:
    """Written without asking what this machine has."""
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0
    assert "_RELAYQ_COMPLETE" in result.stdout


def test_completion_without_a_broker_is_silent(home: Path) -> None:
    """No job ids, no word, no failure."""
    env = {**os.environ, "_RELAYQ_COMPLETE": "bash_complete", "COMP_WORDS": "relayq show ", "COMP_CWORD": "2"}
    env["RELAYQ_BROKER_URL"] = "redis://127.0.0.1:1/0"
    done = subprocess.run([sys.executable, "-m", "relayq"], env=env, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_every_verb_has_help_and_the_list_of_verbs_is_true() -> None:
    """The list is written without importing the verbs, so it is held to them here."""
    context = click.Context(cli, info_name="relayq")
    for verb in VERBS:
        command = cli.get_command(context, verb)
        assert command is not None
        assert command.name == verb
        assert command.help
        result = CliRunner().invoke(cli, [verb, "--help"])
        assert result.exit_code == 0
        assert max(map(len, result.stdout.splitlines())) <= 80
    listed = CliRunner().invoke(cli, []).stdout
    assert all(f"\n  {verb} " in listed for verb in VERBS)


WITHOUT_JSON = {"worker", "server", "demo", "completion", "config", "token", "service", "setup", "top"}


def test_every_verb_that_answers_has_json() -> None:
    """All but those that become something else, or print a shell's script; groups have it on their verbs."""
    context = click.Context(cli, info_name="relayq")
    for verb in VERBS:
        command = cli.get_command(context, verb)
        assert command is not None
        has = any("--json" in parameter.opts for parameter in command.params)
        assert has is (verb not in WITHOUT_JSON), verb


#: Does what the command line says, then prints which of the heavy modules that took.
IMPORTED = """
import sys, runpy
try: runpy.run_module("relayq", run_name="__main__")
except SystemExit: pass
print([name for name in ("celery", "redis", "relayq.client") if name in sys.modules])
"""


@pytest.mark.parametrize("args", [["--help"], ["version"], ["config", "path"]])
def test_what_asks_no_broker_imports_neither_redis_nor_celery(home: Path, args: list[str]) -> None:
    """Start-up time is a promise."""
    done = subprocess.run([sys.executable, "-c", IMPORTED, *args], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_no_looking_verb_imports_celery(home: Path) -> None:
    """Only the worker pays for it."""
    env = {**os.environ, "RELAYQ_BROKER_URL": "redis://127.0.0.1:1/0"}
    argv = [sys.executable, "-c", IMPORTED, "status"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=env)
    assert done.stdout.splitlines()[-1] == "['redis', 'relayq.client']"


LONG = "the-machine-in-the-cellar-below-the-stairs-of-the-old-house"


def test_what_a_worker_offers_is_told_whole_in_eighty_columns(line: Line) -> None:
    """The table of `relayq workers` answers which words `--needs` takes: none may be cut off."""
    line.columns = 80
    words = ("heavy", "mac", "with-a-graphics-card", "with-a-scanner", "with-much-memory")
    line.worker(LONG, labels=words)
    told = line("workers").stdout
    assert all(len(row) <= 80 for row in told.splitlines())
    assert all(word in told.split() for word in words)
    assert all(len(row) <= 80 for row in line("status").stdout.splitlines())


def test_worker_names_are_shortened_only_for_want_of_room(line: Line) -> None:
    """And two of them never look the same."""
    names = [f"transcoder-in-the-cellar-{n}" for n in (1, 2)]
    for name in names:
        line.worker(name, labels=("heavy", "mac"))
    for columns in (None, 120, 80):
        line.columns = columns
        for verb in ("status", "workers"):
            assert all(name in line(verb).stdout.split() for name in names), (verb, columns)
    line.submit("j", prefer=("heavy",))
    line.claim(names[0])
    assert names[0] in line("list").stdout


def test_why_a_worker_takes_nothing_stands_below_the_table(line: Line) -> None:
    """Also if no job waits for it."""
    line.store.pause("mac-mini", by="ann", note="guests")
    for verb in ("status", "workers"):
        assert re.search(r"^mac-mini is paused by ann since .*: guests$", line(verb).stdout, re.MULTILINE)


FOUND = (
    Capability(name="ffmpeg", version="7.1"),
    Capability(name="encoder:h264_nvenc", works=False, why_not="Cannot load libcuda.so.1"),
)
FACTS = {
    "model": "Mac mini (Apple M2)", "os": "macos", "arch": "arm64", "cores": 8, "memory": 16 << 30,
    "disk": 460 << 30, "disk_free": 120 << 30,
}  # fmt: skip


def test_workers_tells_what_each_machine_is_and_what_does_not_work(line: Line) -> None:
    """A listed encoder that fails is there, struck out, with the reason; programs read the same."""
    line.worker("nas", labels=("heavy",), capabilities=("ffmpeg",), found=FOUND, facts=FACTS)
    told = line("workers").stdout
    assert "Mac mini (Apple M2), macos arm64, 8 cores, 16G memory, 120G of 460G disk free, ffmpeg 7.1" in told
    assert re.search(r"^nas +encoder:h264_nvenc +Cannot load libcuda.so.1$", told, re.MULTILINE)
    line.columns = 60
    assert all(len(row) <= 60 for row in line("workers").stdout.splitlines())
    record = line.json("workers")["nas"]
    assert record["capabilities"] == ["ffmpeg"]
    assert record["facts"] == FACTS
    assert record["found"] == [
        {"name": "ffmpeg", "version": "7.1", "works": True, "why_not": None},
        {"name": "encoder:h264_nvenc", "version": None, "works": False, "why_not": "Cannot load libcuda.so.1"},
    ]


def test_reprobe_waits_until_the_worker_has_told(line: Line) -> None:
    """And says if it has not."""
    assert line("worker", "reprobe", "nobody").exit_code == 5
    silent = line("worker", "reprobe", "mac-mini", "--program", "blender", "--wait", "0")
    assert silent.exit_code == 1
    assert "has not told what it finds within 0 s" in silent.stderr
    [worker] = line.store.workers()[1]
    assert worker.reprobe is not None
    assert worker.reprobe.programs == ("blender",)
    found = replace(worker.info, capabilities=("blender",), found=(Capability(name="blender", version="4.2"),))
    told = threading.Timer(0.2, line.store.describe, [found])
    told.start()
    done = line.json("worker", "reprobe", "mac-mini", "--wait", "20")
    told.join()
    assert done["capabilities"] == ["blender"]
    assert line("worker", "reprobe", "mac-mini", "--program", "a b").exit_code == 2
