"""The history can be searched, and the index be lost."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from relayq.model import Attempt, Job, JobSpec, Outcome, Reason, State
from relayq.server import index as module
from relayq.server.index import Index, Wanted
from tests.acceptance.conftest import Fleet
from tests.conftest import wait_until
from tests.server.conftest import Server

NOW = 1_800_000_000.0


def job(number: int, command: str, *, worker: str = "w", exit_code: int | None = 0) -> Job:
    """Submitted `number` seconds after NOW; ended, unless its exit code is None."""
    outcome = None if exit_code is None else Outcome(reason=Reason.EXITED, exit_code=exit_code)
    state = State.RUNNING if exit_code is None else State.SUCCEEDED if exit_code == 0 else State.FAILED
    at = NOW + number
    return Job(
        id=f"j{number}",
        spec=JobSpec(command=command),
        state=state,
        lane="any",
        submitted_at=at,
        place=at,
        attempts=(Attempt(number=1, nonce="n", worker=worker, claimed_at=at, outcome=outcome),),
        ended_at=at + 1 if outcome else None,
    )


def ids(index: Index, limit: int = 10, **query: Any) -> list[str]:
    return list(index.search(Wanted(**query), limit).ids)


def test_words_machine_state_exit_code_and_dates_are_found_together(tmp_path: Path) -> None:
    """Newest first."""
    index = Index(tmp_path / "i")
    index.save([
        job(1, "ffmpeg -i holiday.mov out.mp4"), job(2, "ffmpeg -i party.mov x.mp4", worker="mac", exit_code=137),
        job(3, "make -j4", worker="mac"), job(4, "ffprobe holiday.mov", exit_code=None),
    ])  # fmt: skip
    assert ids(index) == ["j4", "j3", "j2", "j1"]
    assert ids(index, words="holiday") == ["j4", "j1"]
    assert ids(index, words="FFMPEG holi") == ["j1"]
    assert ids(index, words="holiday.mov", states=(State.RUNNING,)) == ["j4"]
    assert ids(index, worker="mac") == ["j3", "j2"]
    assert ids(index, worker="mac", exit_code=137) == ["j2"]
    assert ids(index, states=(State.SUCCEEDED, State.RUNNING)) == ["j4", "j3", "j1"]
    assert ids(index, since=NOW + 2, until=NOW + 4) == ["j3", "j2"]
    assert ids(index, words='"; -- * (') == ["j4", "j3", "j2", "j1"]
    assert ids(index, words='NEAR "quoted" OR') == []


def test_pages_follow_each_other_without_gap_or_repetition(tmp_path: Path) -> None:
    """Also where one word is everywhere and the rest rare."""
    index = Index(tmp_path / "i")
    index.save([job(n, "echo same", exit_code=7 if n % 100 == 0 else 0) for n in range(1000)])
    seen: list[str] = []
    below = None
    while True:
        found = index.search(Wanted(words="same", exit_code=7, below=below), 3)
        seen += found.ids
        below = found.below
        if below is None:
            break
    assert seen == [f"j{n}" for n in range(900, -1, -100)]


@pytest.mark.parametrize("few", [0, 5000])
@pytest.mark.parametrize(
    "words", ["apple", "APP pear", "a.mov", "müll", "mull", "pear-7", "x_y", "y", "7", "'pear", "nothing", "- . _"]
)
def test_words_are_found_the_same_whichever_index_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, few: int
) -> None:
    """Rare rows are read, not looked up: by the rules of the full-text index."""
    monkeypatch.setattr(module, "FEW", few)
    texts = ["apple a.mov", "Apple-Pear pear-77", "MÜLL x_y", "amov", "pear 7", "x y"]
    index = Index(tmp_path / "i")
    index.save([job(n, text) for n, text in enumerate(texts)])
    assert ids(index, words=words, exit_code=0) == ids(index, words=words)


def test_a_search_that_takes_long_says_how_far_it_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page is never slow, however rare what is looked for."""
    monkeypatch.setattr(module, "BUDGET", 0.0)
    monkeypatch.setattr(module, "BLOCK", 100)
    monkeypatch.setattr(module, "FEW", 0)
    index = Index(tmp_path / "i")
    index.save([job(n, "echo same", exit_code=7 if n == 5 else 0) for n in range(1000)])
    pages, below = [], None
    while True:
        found = index.search(Wanted(words="same", exit_code=7, below=below), 3)
        pages.append(found.ids)
        below = found.below
        if below is None:
            break
    assert len(pages) > 5
    assert [id for page in pages for id in page] == ["j5"]


def test_what_has_ended_is_not_made_to_run_again_by_an_older_page(tmp_path: Path) -> None:
    """Pages are read while events come in."""
    index = Index(tmp_path / "i")
    index.save([job(1, "true")])
    index.save([job(1, "true", exit_code=None)])
    assert ids(index, states=(State.SUCCEEDED,)) == ["j1"]


def test_what_is_forgotten_is_found_no_more(tmp_path: Path) -> None:
    """Neither by its words nor otherwise."""
    index = Index(tmp_path / "i")
    index.save([job(1, "one"), job(2, "two"), replace(job(3, "three"), ended_at=NOW - 10)])
    index.forget(["j1"])
    assert index.forget_before(NOW) == 1
    assert (ids(index), ids(index, words="one"), ids(index, words="three")) == (["j2"], [], [])


def test_a_file_that_is_no_index_is_made_anew(tmp_path: Path) -> None:
    """It was only an index."""
    (tmp_path / "i").write_bytes(b"nonsense" * 1000)
    index = Index(tmp_path / "i")
    index.save([job(1, "one")])
    assert ids(index, words="one") == ["j1"]


def found(client: httpx.Client, **query: Any) -> list[str]:
    page = client.get("/api/v1/jobs", params=query).json()
    return [row["id"] for row in page["jobs"]]


def test_history_is_searched_over_http_also_after_the_index_was_lost(server: Server, fleet: Fleet) -> None:
    """Fed by events; filled from the store when the file is new."""
    fleet.start("w")
    client = server.client()
    good = client.post("/api/v1/jobs", json={"command": "echo apples"}).json()["id"]
    bad = client.post("/api/v1/jobs", json={"command": "echo apples and pears; exit 9"}).json()["id"]
    wait_until(lambda: found(client, q="apples", state=["succeeded", "failed"]) == [bad, good], 20)
    assert found(client, q="pea", exit_code=9, worker="w") == [bad]
    assert found(client, q="apples", since=time.time() + 100) == []
    first = client.get("/api/v1/jobs", params={"q": "apples", "limit": 1}).json()
    assert found(client, q="apples", limit=1, after=first["next"]) == [good]
    assert client.get("/api/v1/jobs", params={"after": "x"}).status_code == 422
    server.end()
    while_away = fleet.client.run("echo apples again")
    while_away.get(timeout=20)
    server.start()
    wait_until(lambda: found(client, q="apples") == [while_away.id, bad, good], 10)
    server.end()
    for file in (server.home / "server").iterdir():
        file.unlink()
    server.start()
    wait_until(lambda: found(client, q="apples") == [while_away.id, bad, good], 10)
