"""How the command line ends: exit codes, and one sentence instead of a traceback."""

from __future__ import annotations

import threading

import click
import pytest

from relayq import errors
from relayq.cli import patience
from relayq.cli.exits import code_for, code_of
from relayq.model import Outcome, Reason
from tests.unit.cli import Line


@pytest.fixture
def line() -> Line:
    """A command line with one worker."""
    line = Line()
    line.worker()
    return line


ENDS = [
    (Outcome(reason=Reason.EXITED, exit_code=0), 0),
    (Outcome(reason=Reason.EXITED, exit_code=77), 77),
    (Outcome(reason=Reason.EXITED, signal=9), 137),
    (Outcome(reason=Reason.TIMED_OUT, signal=15), 124),
    (Outcome(reason=Reason.CANCELLED, signal=15), 130),
    (Outcome(reason=Reason.NOT_STARTED, message="no such program: nosuch"), 125),
]


@pytest.mark.parametrize(("outcome", "code"), ENDS)
def test_a_job_that_ended_exits_as_it_did(line: Line, outcome: Outcome, code: int) -> None:
    """`relayq wait` exits with the job's own code, or the one that tells how it was ended."""
    line.ended("j", outcome, timeout=9.0)
    assert line("wait", "j").exit_code == code


def test_a_job_given_up_exits_with_125(line: Line) -> None:
    """A job that was lost too often, or waited too long, has no code of its own."""
    line.submit("j", max_losses=1)
    held = line.claim()
    line.store.give_back("mac-mini", "i-mac-mini", held, Outcome(reason=Reason.WORKER_LOST), lost=True)
    [job] = line.store.get(["j"])
    assert job is not None
    assert (job.reason, code_of(job)) == (Reason.POISON, 125)


ERRORS = [
    (errors.BadSpec("x"), 2, 2),
    (errors.ConfigError("x"), 2, 2),
    (click.UsageError("x"), 2, 2),
    (errors.UnknownJob("x"), 3, 255),
    (errors.AmbiguousJob("x"), 3, 255),
    (errors.BrokerUnavailable("x"), 4, 255),
    (errors.BrokerRefused("x"), 5, 255),
    (errors.NoSuchWorker("x"), 5, 255),
    (errors.NameTaken("x"), 5, 255),
    (errors.StoreFull("x"), 5, 255),
    (errors.ResultTimeout("x"), 1, 1),
    (KeyError("x"), 1, 255),
    (KeyboardInterrupt(), 130, 130),
    (BrokenPipeError(), 141, 141),
]


@pytest.mark.parametrize(("error", "code", "code_standing_for_a_job"), ERRORS)
def test_every_error_has_its_exit_code(error: BaseException, code: int, code_standing_for_a_job: int) -> None:
    """The table of the help: what is not the job's doing is 255 where the code is the job's."""
    assert code_for(error) == code
    assert code_for(error, stands_for_job=True) == code_standing_for_a_job


WRONG = [
    ("show", "nosuch"),
    ("show", ""),
    ("logs", "-f", "nosuch"),
    ("run", "--on", "nosuch", "--", "true"),
    ("run", "--needs", "a/b", "--", "true"),
    ("run", "--", ""),
    ("run",),
    ("run", "--timeout", "soon", "--", "true"),
    ("run", "--stdin", "/no/such/file", "--", "true"),
    ("run", "--env", "X", "--", "true"),
    ("run", "--", "a\0b"),
    ("run", "--", "printf", "\udcff"),
    ("submit", "--cwd", "/\udcff", "--", "true"),
    ("run", "--", "x" * 10_000_000),
    ("submit", "--id", "a b", "--", "true"),
    ("list", "--state", "asleep"),
    ("worker", "remove", "nosuch"),
    ("nosuch",),
    ("--nosuch",),
    ("list", "--nosuch"),
]


@pytest.mark.parametrize("args", WRONG, ids=lambda args: ascii(" ".join(args))[:40])
def test_what_is_wrong_is_said_in_one_sentence(line: Line, args: tuple[str, ...]) -> None:
    """Never a traceback, nothing on stdout, one line on stderr that begins with our name."""
    result = line(*args)
    assert result.exit_code not in (0, None)
    assert result.stdout == ""
    assert result.stderr.startswith("relayq: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    assert "unexpected" not in result.stderr


def test_what_nobody_thought_of_is_one_sentence_too(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect is no traceback either, unless RELAYQ_DEBUG asks for it."""

    def broken(*_: object, **__: object) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr(line.store, "page", broken)
    result = line("list")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("relayq: unexpected KeyError: 'surprise'")
    monkeypatch.setenv("RELAYQ_DEBUG", "1")
    assert "Traceback" in line("list").stderr


def test_a_name_service_that_does_not_answer_is_a_broker_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket timeout bounds the look-up of a name, so it is bounded here; addresses need none."""
    asked = threading.Event()

    def deaf(*_: object) -> None:
        asked.wait(5)

    monkeypatch.setattr(patience, "NAME_PATIENCE", 0.02)
    monkeypatch.setattr(patience.socket, "getaddrinfo", deaf)
    with pytest.raises(errors.BrokerUnavailable, match="the name nas of the broker cannot be looked up"):
        patience.check_name("redis://:secret@nas:6379/0")
    for url in ("redis://127.0.0.1:6379/0", "redis://[::1]:6379/0", "unix:///run/redis.sock", None):
        patience.check_name(url)
    asked.set()


def test_a_misspelt_verb_is_guessed(line: Line) -> None:
    """The sentence names the verb that was probably meant."""
    result = line("statsu")
    assert result.exit_code == 2
    assert result.stderr == 'relayq: there is no verb "statsu"; did you mean "status"?\n'


def test_ambiguous_ids_are_listed(line: Line) -> None:
    """Exit code 3, and the candidates."""
    line.submit("abc1")
    line.submit("abc2")
    result = line("show", "abc")
    assert result.exit_code == 3
    assert "abc1, abc2" in result.stderr
