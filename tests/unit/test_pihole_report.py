"""The Pi-hole script and the generator of its logs: what they say, held to each other and to lines of real logs."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from relayq.demo import pihole_log
from relayq.demo.assets import pihole_report

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "relayq/demo/assets/pihole_report.py"


def at(clock: str, event: str) -> str:
    return f"Nov 23 {clock} dnsmasq[812]: {event}\n"


def asked(domain: str, client: str, clock: str = "10:15:02") -> list[str]:
    return [at(clock, f"query[A] {domain} from {client}"), at(clock, f"gravity blocked {domain} is 0.0.0.0")]


def report_of(*lines: str, top: int = 10) -> dict[str, object]:
    return pihole_report.as_data(pihole_report.read(lines), top)


def run(*arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments],
        check=False,
        input=stdin,
        capture_output=True,
        timeout=30,
        env={**os.environ, **(env or {})},
    )


def test_the_report_of_a_generated_log_is_what_the_generator_knows():
    """Counted twice, by two programs that share no code."""
    text, truth = pihole_log.generate()
    report = pihole_report.as_data(pihole_report.read(text.splitlines(keepends=True)), 100)
    assert (report["lines"], report["unreadable"], report["queries"]) == (truth.lines, 0, truth.queries)
    assert {row["domain"]: row["count"] for row in report["top_blocked"]} == truth.blocked_domains
    assert {row["client"]: (row["queries"], row["blocked"]) for row in report["clients"]} == truth.clients
    assert report["busiest_hour"] == {"hour": truth.busiest_hour, "queries": truth.busiest_queries}
    assert report["blocked"] == sum(truth.blocked_domains.values())


def test_a_generated_log_is_the_same_for_the_same_seed_and_looks_like_a_day():
    """The demo's numbers can be repeated by anybody."""
    text, truth = pihole_log.generate()
    assert pihole_log.generate() == (text, truth)
    assert pihole_log.generate(seed=1)[0] != text
    lines = text.splitlines()
    assert 10_000 <= len(lines) == truth.lines <= 10_002
    times = [line.split()[2] for line in lines]
    assert times == sorted(times)
    assert times[0] < "02" < "22" < times[-1] < "24"
    for form in (
        "gravity blocked",
        "/etc/pihole/gravity.list",
        "regex blocked",
        "forwarded",
        "reply",
        "cached",
        "fd00:",
    ):
        assert form in text


@pytest.mark.parametrize(
    "event",
    [
        "gravity blocked ads.example.com is 0.0.0.0",
        "gravity blocked ads.example.com is ::",
        "gravity blocked ads.example.com is NODATA",
        "/etc/pihole/gravity.list ads.example.com is 192.168.1.2",
        "/etc/pihole/black.list ads.example.com is 0.0.0.0",
        "regex blocked ads.example.com is 0.0.0.0",
        "regex blacklisted ads.example.com is 0.0.0.0",
        "regex denied ads.example.com is 0.0.0.0",
        "exactly blacklisted ads.example.com is 0.0.0.0",
        "exactly denied ads.example.com is 0.0.0.0",
        "gravity blocked ADS.Example.com is 0.0.0.0",
    ],
)
def test_every_pihole_version_s_way_to_say_blocked_is_understood(event: str):
    """Versions 4, 5 and 6 use different words; names are the same in capitals."""
    report = report_of(at("10:15:02", "query[AAAA] ads.example.com from 192.168.1.23"), at("10:15:02", event))
    assert report["top_blocked"] == [{"domain": "ads.example.com", "count": 1}]
    assert report["clients"] == [{"client": "192.168.1.23", "queries": 1, "blocked": 1, "blocked_share": 1.0}]


@pytest.mark.parametrize(
    "event",
    [
        "forwarded gravity.example.com to 1.1.1.1",
        "reply gravity.example.com is 203.0.113.7",
        "cached blocked.example.com is 203.0.113.7",
        "config blocked.example.com is NXDOMAIN",
        "Pi-hole hostname pi.hole is 192.168.1.2",
        "started, version pi-hole-v2.90 cachesize 10000",
    ],
)
def test_what_was_not_blocked_is_not_counted_as_blocked(event: str):
    """dnsmasq's other lines are readable, and say nothing of blocking."""
    report = report_of(at("10:15:02", "query[A] gravity.example.com from 192.168.1.23"), at("10:15:02", event))
    assert (report["blocked"], report["unreadable"], report["queries"]) == (0, 0, 1)


def test_a_block_belongs_to_the_client_that_asked_last():
    """The answer does not name the client; the question right before it does."""
    report = report_of(
        *asked("ads.example.com", "192.168.1.23"),
        *asked("ads.example.com", "fd00:5ec:1::7a"),
        at("10:15:09", "query[A] www.example.com from 192.168.1.23"),
    )
    assert report["clients"] == [
        {"client": "192.168.1.23", "queries": 2, "blocked": 1, "blocked_share": 0.5},
        {"client": "fd00:5ec:1::7a", "queries": 1, "blocked": 1, "blocked_share": 1.0},
    ]


def test_an_answer_whose_question_is_in_yesterday_s_log_is_nobody_s():
    """Logs are cut at midnight, between two lines."""
    report = report_of(at("00:00:00", "gravity blocked ads.example.com is 0.0.0.0"))
    assert (report["blocked"], report["queries"], report["blocked_share"], report["clients"]) == (1, 0, 0.0, [])


def test_lines_with_the_client_in_front_are_understood():
    """log-queries=extra puts a serial number and the client before every event."""
    report = report_of(
        at("10:15:02", "4711 192.168.1.23/52345 query[A] ads.example.com from 192.168.1.23"),
        at("10:15:02", "4711 192.168.1.23/52345 gravity blocked ads.example.com is 0.0.0.0"),
    )
    assert (report["queries"], report["blocked"], report["unreadable"]) == (1, 1, 0)


def test_garbage_is_counted_and_passed_over():
    """A log is cut off by a power loss, holds binary rubbish and other programs' lines: the rest still counts."""
    report = report_of(
        "\x00\x00\x00\n",
        "",
        "\n",
        "Nov 23 10:15:02 kernel: query[A] ads.example.com from 192.168.1.23\n",
        *asked("ads.example.com", "192.168.1.23"),
        "Nov 23 10:15:0",
        at("10:15:02", "query[A] half.exam").rstrip("\n"),
    )
    assert (report["lines"], report["unreadable"], report["queries"], report["blocked"]) == (8, 3, 1, 1)


def test_equal_counts_are_in_the_order_of_names_whatever_the_log_s_order():
    """The same log sorted otherwise gives the same report."""
    lines = [line for name in ("b.example", "a.example", "c.example") for line in asked(name, f"10.0.0.{ord(name[0])}")]
    report = report_of(*lines, *asked("c.example", "10.0.0.99"), top=2)
    assert report["top_blocked"] == [{"domain": "c.example", "count": 2}, {"domain": "a.example", "count": 1}]
    assert [row["client"] for row in report["clients"]] == ["10.0.0.99", "10.0.0.97", "10.0.0.98"]


def test_of_equally_busy_hours_the_first_is_named():
    """So that the answer does not depend on chance."""
    report = report_of(*asked("a", "c", "09:59:59"), *asked("a", "c", "10:00:00"))
    assert report["busiest_hour"] == {"hour": "Nov 23 09:00", "queries": 1}


def test_an_empty_log_has_an_empty_report():
    """A Pi-hole that was just installed is no error."""
    done = run("--json")
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout) == {
        "lines": 0,
        "unreadable": 0,
        "queries": 0,
        "blocked": 0,
        "blocked_share": 0.0,
        "busiest_hour": None,
        "top_blocked": [],
        "clients": [],
    }
    assert "busiest hour: none" in run().stdout.decode()


def test_a_file_a_packed_file_standard_input_and_pihole_log_give_the_same_report(tmp_path: Path):
    """Whichever way the log comes, also with bytes that are no UTF-8 in it."""
    log = pihole_log.generate(lines=300)[0].encode() + b"\xff\xfe rubbish\n"
    (tmp_path / "pihole.log").write_bytes(log)
    (tmp_path / "pihole.log.2.gz").write_bytes(gzip.compress(log))
    plain = run("--json", str(tmp_path / "pihole.log"))
    assert json.loads(plain.stdout)["unreadable"] == 1
    others = [
        run("--json", str(tmp_path / "pihole.log.2.gz")),
        run("--json", stdin=log),
        run("--json", env={"PIHOLE_LOG": str(tmp_path / "pihole.log")}),
    ]
    assert [other.stdout for other in others] == [plain.stdout] * 3


def test_the_text_shows_the_top_and_all_clients():
    """What a person reads is what programs are told."""
    lines = [*asked("ads.example.com", "192.168.1.23") * 3, *asked("pixel.example.com", "192.168.1.31")]
    text = run("--top", "1", stdin="".join(lines).encode()).stdout.decode()
    assert "4 queries from 2 clients, 4 blocked (100.0%)" in text
    assert "busiest hour: Nov 23 10:00 with 4 queries" in text
    assert "       3  ads.example.com\n" in text
    assert "pixel" not in text
    assert "       1         1  100.0%  192.168.1.31\n" in text


def test_what_strangers_sent_does_not_steer_the_terminal():
    """A queried name may hold escape sequences."""
    text = pihole_report.as_text(pihole_report.read(asked("a\x1b[2Jb", "c\x07d")), 10)
    assert "\x1b" not in text
    assert "a?[2jb" in text
    assert "c?d" in text


def test_a_log_that_cannot_be_read_is_said_in_one_line(tmp_path: Path):
    """No traceback: the name and why."""
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"x" * 1000)[:-9])
    (tmp_path / "no.gz").write_bytes(b"not packed")
    for name, why in (
        ("nowhere.log", "No such file"),
        ("cut.gz", "ended before"),
        ("no.gz", "Not a gzipped file"),
        (".", "Is a dir"),
    ):
        done = run(str(tmp_path / name))
        assert done.returncode == 2
        assert done.stderr.startswith(b"pihole_report: cannot read ")
        assert why in done.stderr.decode()
        assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("wrong", ["-1", "many", ""])
def test_a_wrong_top_is_refused(wrong: str):
    """As argparse does: usage and exit code 2."""
    done = run(f"--top={wrong}")
    assert done.returncode == 2
    assert b"usage:" in done.stderr


def test_the_example_is_the_script_that_the_package_ships():
    """One file, two places: neither can go stale."""
    assert (ROOT / "examples/pihole_report.py").resolve() == SCRIPT.resolve()
