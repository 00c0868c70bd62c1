"""What is read from `ps` (macOS) and from environments (Linux)."""

from relayq.supervisor import linux, mac
from relayq.supervisor.tree import below

PS = """
    1     0     1 Ss
  100     1   100 Ss
  101   100   100 S+
  102   101   102 Ss
  103   101   100 Z
  200     1   200 S
"""


def test_descendants_are_found_across_groups():
    """A walk of the parents, without zombies, which are already gone."""
    assert below([100], mac.parse_processes(PS)) == {101: 100, 102: 102}
    assert below([200], mac.parse_processes(PS)) == {}
    assert below([100, 101], mac.parse_processes(PS)) == {102: 102}


def test_lines_that_are_no_processes_are_skipped():
    """`ps` may complain in between."""
    assert mac.parse_processes("ps: something\n\n  7 1 7 R\n x 1 7 R\n") == {7: (1, 7)}


def test_start_time_identifies_a_process_but_not_its_zombie():
    """The day of the month may be padded."""
    assert mac.parse_start("Ss   Sat Nov  2 10:11:12 2024\n") == "Sat Nov 2 10:11:12 2024"
    assert mac.parse_start("Z    Sat Nov  2 10:11:12 2024\n") is None
    assert mac.parse_start("") is None


def test_loops_in_a_racing_snapshot_end():
    """A snapshot taken while pids come again may contradict itself."""
    assert below([1], {1: (2, 1), 2: (1, 2)}) == {2: 2}


def test_attempt_is_read_from_an_environment():
    """Only the whole name counts."""
    assert linux._marker(b"A=1\0RELAYQ_MARK=J/1/n\0B=2\0") == "J/1/n"
    assert linux._marker(b"XRELAYQ_MARK=J/1\0RELAYQ_MARK_=x\0") is None
    assert linux._marker(b"") is None


def test_children_are_found_without_the_kernels_list(monkeypatch):
    """Not every kernel has CONFIG_PROC_CHILDREN; the parents of all processes say the same."""
    import os
    import subprocess

    read = linux._read

    def without_lists(path: str) -> bytes:
        if path.endswith("/children"):
            raise FileNotFoundError(path)
        return read(path)

    with subprocess.Popen(["sleep", "300"]) as child:
        known = linux.children(os.getpid())
        monkeypatch.setattr(linux, "_read", without_lists)
        assert child.pid in linux.children(os.getpid())
        assert set(linux.children(os.getpid())) <= set(known)
        child.kill()
