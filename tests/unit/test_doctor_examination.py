"""The doctor as a whole: all checks in bounded time, its page, and what the command prints."""

from __future__ import annotations

import ast
import json
import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from relayq.cli.app import cli
from relayq.doctor import examination
from relayq.doctor.context import Context
from relayq.doctor.findings import Finding, check, ok, problem, warning
from relayq.effects import Effects
from tests.unit.doctor import WELL, Machine, machine_at

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "TROUBLESHOOTING.md").read_text("utf-8")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return machine_at(tmp_path, monkeypatch)


class Doctor:
    """`relayq doctor` on that machine."""

    def __init__(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.machine = machine
        monkeypatch.setattr("relayq.doctor.context.context_for", machine.context)

    def __call__(self, *args: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(cli, ["doctor", *args])
        return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def doctor(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    return Doctor(machine, monkeypatch)


# ── the page ──


def test_the_page_has_each_check_under_its_name_in_the_order_of_the_output() -> None:
    """What `relayq doctor` names can be looked up."""
    headings = re.findall(r"^(##|###) (.+)$", PAGE, re.MULTILINE)
    expected = []
    for group, checks in examination.GROUPS.items():
        expected += [("##", group), *(("###", one.name) for one in checks)]
    assert headings == expected


def test_each_check_has_a_name_of_its_own_that_fits_its_column() -> None:
    """Findings are told apart by it."""
    names = [one.name for checks in examination.GROUPS.values() for one in checks]
    assert len(names) == len(set(names))
    assert max(map(len, names)) <= 15


def test_each_command_that_a_finding_names_is_on_the_page() -> None:
    """As far as it is written in the source: up to its first variable part."""
    flowed = " ".join(PAGE.split())
    commands = set()
    for file in (ROOT / "relayq" / "doctor").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if name in {"ok", "warning", "problem"} and len(node.args) > 1:  # type: ignore[union-attr]
                mend = node.args[1]  # type: ignore[union-attr]
                first = mend.values[0] if isinstance(mend, ast.JoinedStr) else mend
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    commands.add(first.value.strip())
    assert len(commands) > 15
    assert [command for command in commands if command not in flowed] == []


# ── all checks together ──


def test_a_healthy_worker_has_no_problem_and_each_check_speaks_in_its_own_name(machine: Machine) -> None:
    """On this very system, but for what the machine answers."""
    machine.is_worker()
    found = examination.examine(machine.context())
    assert list(found) == list(examination.GROUPS)
    for group, findings in found.items():
        assert {finding.check for finding in findings} <= {one.name for one in examination.GROUPS[group]}
    assert [f for f in found["Worker"] + found["Broker"] if f.level == "problem"] == []


def test_a_broker_that_is_away_is_one_problem(machine: Machine) -> None:
    """Not one for each question that it could not answer."""
    machine.is_worker()
    machine.health = None
    found = examination.examine(machine.context())
    asked = [finding for group in ("The way to the broker", "Broker", "Worker") for finding in found[group]]
    assert [finding.check for finding in asked if finding.level == "problem"] == ["broker"]


def test_a_check_that_hangs_is_a_warning_and_holds_nobody_up(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead network disk, a daemon that is stuck."""
    release = threading.Event()

    @check("hangs")
    def hangs(_: Context) -> list[Finding]:
        release.wait(60)
        return []

    @check("well")
    def well(_: Context) -> list[Finding]:
        return [ok("fine")]

    monkeypatch.setattr(examination, "GROUPS", {"All": (hangs, well)})
    late, fine = examination.examine(machine.context(), patience=0.2)["All"]
    release.set()
    assert (late.check, late.level) == ("hangs", "warning")
    assert "within 0.2 s" in late.sentence
    assert fine == Finding("well", "ok", "fine")


# ── the command ──


def test_the_output_fits_80_columns_and_groups_what_it_found(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands alone are never broken, so that they can be copied."""
    doctor.machine.is_worker()
    monkeypatch.setattr(doctor.machine, "health", replace(WELL, append_only=False, eviction="allkeys-lru"))
    code, out, _ = doctor()
    lines = out.splitlines()
    assert code == 1
    assert [line for line in lines if len(line) > 80 and not line.startswith("    $ ")] == []
    assert "Broker (to be mended on its machine)" in lines
    assert "    $ relayq setup broker" in lines
    assert "  ok       redis version    Redis 7.0.15" in lines
    assert any(line.startswith("  problem  eviction policy  Redis may forget jobs") for line in lines)
    assert lines[-1].endswith("What each means: TROUBLESHOOTING.md")


def test_json_has_every_finding_with_its_command(doctor: Doctor) -> None:
    """For programs; the words of the sentences may change, names and levels do not."""
    doctor.machine.health = replace(WELL, append_only=False)
    code, out, _ = doctor("--json")
    said = json.loads(out)
    [finding] = [f for f in said["findings"] if f["check"] == "persistence"]
    assert finding == {
        "group": "Broker",
        "check": "persistence",
        "level": "problem",
        "sentence": finding["sentence"],
        "mend": "relayq setup broker",
        "fixable": False,
    }
    assert code == 1
    assert said["problems"] == sum(f["level"] == "problem" for f in said["findings"])


@pytest.fixture
def alone(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """The findings of the only check there is."""
    told: list[Finding] = []

    @check("only")
    def only(_: Context) -> list[Finding]:
        return told

    monkeypatch.setattr(examination, "GROUPS", {"All": (only,)})
    return told


def test_quiet_says_nothing_when_all_is_well(doctor: Doctor, alone: list[Finding]) -> None:
    """cron mails whatever is printed."""
    alone.append(ok("fine", "a hint"))
    assert doctor("--quiet") == (0, "", "")
    assert doctor() == (0, "All\n  ok       only             fine\n    $ a hint\n\nAll is well.\n", "")


def test_quiet_prints_warnings_and_exits_with_1_for_problems_only(doctor: Doctor, alone: list[Finding]) -> None:
    """A warning is to be read, and is no failure."""
    alone += [ok("fine"), warning("soon")]
    code, out, _ = doctor("--quiet")
    assert code == 0
    assert "soon" in out
    assert "fine" not in out
    alone.append(problem("now"))
    code, out, _ = doctor("--quiet")
    assert code == 1
    assert "1 problem and 1 warning" in out


def test_nothing_is_changed_unless_it_is_asked_for(doctor: Doctor) -> None:
    """It reports."""
    file = doctor.machine.home / "config.yml"
    file.write_text("broker: {password: secret}\n")
    file.chmod(0o644)
    before = {path: (path.stat().st_mode, path.stat().st_mtime_ns) for path in doctor.machine.home.rglob("*")}
    assert doctor("--quiet")[0] == 1
    assert {path: (path.stat().st_mode, path.stat().st_mtime_ns) for path in doctor.machine.home.rglob("*")} == before


def test_fix_does_what_is_safe_says_so_and_looks_again(doctor: Doctor) -> None:
    """What it prints is how things are afterwards."""
    file = doctor.machine.home / "config.yml"
    file.write_text("broker: {password: secret}\n")
    file.chmod(0o644)
    _, out, talk = doctor("--fix", "--json")
    assert f"chmod 600 {file}" in talk
    assert file.stat().st_mode & 0o777 == 0o600
    assert [f["level"] for f in json.loads(out)["findings"] if f["check"] == "secrets"] == ["ok"]


def test_a_fix_that_fails_is_told_and_the_others_are_done(doctor: Doctor, alone: list[Finding]) -> None:
    """One that needs rights which we lack must not end the rest."""
    done: list[str] = []

    def fail(effects: Effects) -> None:
        effects.run(["/bin/sh", "-c", "echo no rights >&2; exit 1"])

    alone += [problem("a", "x", fail), problem("b", "y", lambda _: done.append("b"))]
    code, _, talk = doctor("--fix")
    assert code == 1
    assert "no rights" in talk
    assert done == ["b"]


def test_fix_without_anything_safe_to_do_says_so(doctor: Doctor, alone: list[Finding]) -> None:
    """Else one would believe that it had done something."""
    alone.append(problem("a", "x"))
    assert "nothing here can be mended safely without you" in doctor("--fix")[2]
