"""Outcomes on disk stay within their budget."""

from pathlib import Path

from relayq.supervisor.shelf import Shelf


def header(key: str) -> dict[str, object]:
    return {"key": key, "reason": "exited", "dropped_bytes": 5, "chunks": [[1, 0, 400]]}


def test_oldest_output_goes_first_and_the_outcome_says_so(tmp_path: Path):
    """Beyond the budget the oldest outcomes keep everything but their output."""
    shelf = Shelf(str(tmp_path), print, budget_bytes=1000)
    for number in range(5):
        assert shelf.put(f"J/{number}", header(f"J/{number}"), b"x" * 400)
    sizes = [len(shelf.get(f"J/{number}")[1]) for number in range(5)]
    assert sizes == [0, 0, 0, 400, 400]
    assert [shelf.get(f"J/{number}")[0]["dropped_bytes"] for number in (0, 4)] == [405, 5]
    assert shelf.get("J/0")[0]["chunks"] == []


def test_budget_holds_across_a_restart(tmp_path: Path):
    """What was there before counts."""
    first = Shelf(str(tmp_path), print, budget_bytes=1000)
    first.put("J/1", header("J/1"), b"x" * 900)
    second = Shelf(str(tmp_path), print, budget_bytes=1000)
    assert [found["key"] for found in second.load()] == ["J/1"]
    second.put("J/2", header("J/2"), b"x" * 900)
    assert [len(second.get(key)[1]) for key in ("J/1", "J/2")] == [0, 900]


def test_failed_write_leaves_no_file_and_is_said(tmp_path: Path):
    """False, a sentence, and nothing half written."""
    said: list[str] = []
    (tmp_path / "file").write_text("")
    shelf = Shelf(str(tmp_path / "file"), said.append)
    assert not shelf.put("J/1", header("J/1"), b"x")
    assert said == [f"outcomes cannot be written to {tmp_path}/file, they stay in memory: Not a directory"]
    assert shelf.get("J/1") is None
