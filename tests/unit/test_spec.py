"""What may be asked, and what is said of the rest."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from relayq.client import Client
from relayq.errors import BadSpec
from relayq.model import OnLost
from relayq.spec import check_id, make_spec
from relayq.store.memory import MemoryStore


def test_a_str_is_for_the_shell_and_a_list_is_exact() -> None:
    """The two forms of a command."""
    assert make_spec("a | b").command == "a | b"
    assert make_spec(["a", "b c"]).command == ("a", "b c")


def test_absent_options_are_the_defaults() -> None:
    """None means: not given."""
    assert make_spec("x", timeout=None, retries=None, needs=None) == make_spec("x")


def test_options_are_normalised() -> None:
    """What people write is accepted."""
    spec = make_spec("x", needs="heavy", stdin="héllo", on_lost="wait", env={"A": "1"})
    assert (spec.needs, spec.stdin, spec.on_lost) == (("heavy",), "héllo".encode(), OnLost.WAIT)


@pytest.mark.parametrize(
    ("command", "options", "words"),
    [
        ("", {}, "empty"),
        ("   ", {}, "empty"),
        ([], {}, "empty"),
        (None, {}, "got nothing"),
        (7, {}, "got int"),
        (["a", 7], {}, "got int"),
        ("a\0b", {}, "NUL"),
        (["a", "b\0"], {}, "NUL"),
        ("a \udcff", {}, "no UTF-8"),
        ("x" * 10_000_000, {}, "at most 128 KiB"),
        ("x", {"stdin": b"x" * 5_000_000}, "at most 4 MiB"),
        ("x", {"timeout": "soon"}, "timeout must be seconds"),
        ("x", {"timeout": True}, "timeout must be seconds"),
        ("x", {"timeout": -1}, "more than 0"),
        ("x", {"retries": 1.5}, "whole number"),
        ("x", {"retries": 1000}, "from 0 to 100"),
        ("x", {"priority": 11}, "from -10 to 10"),
        ("x", {"on": "no such\nname"}, "worker's name"),
        ("x", {"needs": ["ok", "not ok!"]}, "label"),
        ("x", {"needs": [1]}, "list of labels"),
        ("x", {"env": {"A": 1}}, "dict of str"),
        ("x", {"env": {"A=B": "1"}}, "environment variable"),
        ("x", {"env": ["A=1"]}, "dict of str"),
        ("x", {"cwd": 3}, "cwd must be a str"),
        ("x", {"cwd": "a\0b"}, "NUL"),
        ("x", {"on_lost": "cry"}, "requeue, wait, fail"),
        ("x", {"colour": "red"}, "no option called 'colour'"),
        ("x", {"script": "y"}, "not both"),
        (None, {"script": " \n"}, "script is empty"),
        (None, {"kind": "bake"}, "no kind of job"),
        ("x", {"stdin": "\udcff"}, "pass bytes"),
        ("x", {"kill_grace": 10**400}, "from 0 to 3600"),
        (None, {"kind": "transcode"}, "input must be a str"),
        (None, {"kind": "transcode", "params": {"input": "a", "output": ""}}, "output is empty"),
        (None, {"kind": "transcode", "params": {"input": "a\0", "output": "b"}}, "NUL"),
        (None, {"kind": "transcode", "params": {"input": "a", "output": "b", "options": 5}}, "options must be a str"),
        (None, {"kind": "transcode", "params": {"input": "a", "output": "b", "options": "'"}}, "close every quote"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(command: Any, options: dict[str, Any], words: str) -> None:
    """And at once, where it was written."""
    with pytest.raises(BadSpec) as caught:
        make_spec(command, **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "submit",
    [
        lambda client: client.map("echo"),
        lambda client: client.run("true", id=""),
    ],
)
def test_letters_are_not_taken_for_words(submit: Callable[[Client], object]) -> None:
    """Python would go through a str letter by letter, and an empty id is none."""
    with pytest.raises(BadSpec):
        submit(Client(store=MemoryStore()))


def test_one_need_may_be_a_str() -> None:
    """Also beside the one that the method itself brings."""
    client = Client(store=MemoryStore())
    job = client.run_on_mac("true", needs="ffmpeg", queue_anyway=True).job()
    assert set(job.spec.needs) == {"mac", "ffmpeg"}


@pytest.mark.parametrize(
    ("submit", "words"),
    [
        (lambda client: client.run("true", on=""), "'' cannot be a worker's name"),
        (lambda client: client.run("true", worker=""), "'' cannot be a worker's name"),
        (lambda client: client.run_on("", "true"), "'' cannot be a worker's name"),
        (lambda client: client.run("true", on="mac", worker="rpi"), "on='mac' and worker='rpi' name two workers"),
        (lambda client: client.run_on("mac", "true", worker="rpi"), "name two workers"),
        (lambda client: client.run("true", on="", worker="rpi"), "name two workers"),
    ],
)
def test_a_worker_that_cannot_be_meant_is_not_left_to_chance(submit: Callable[[Client], object], words: str) -> None:
    """An empty variable would send the job to just any machine; two names to the one that is read first."""
    client = Client(store=MemoryStore())
    with pytest.raises(BadSpec, match=re.escape(words)):
        submit(client)
    assert client.store.page() == []


def test_worker_is_still_the_1x_name_of_on() -> None:
    """Alone, or beside the same name."""
    client = Client(store=MemoryStore())
    for given in ({"worker": "mac"}, {"on": "mac"}, {"on": "mac", "worker": "mac"}):
        assert client.run("true", queue_anyway=True, **given).job().spec.on == "mac"


@pytest.mark.parametrize("id", ["", "-x", "a b", "x" * 65, 3, "a/b", None, "last"])
def test_ids_are_plain_words(id: Any) -> None:
    """They stand in keys, paths and command lines; "last" is the newest job, whatever it is called."""
    with pytest.raises(BadSpec):
        check_id(id)
