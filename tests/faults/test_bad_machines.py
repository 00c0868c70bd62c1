"""Disk full, RELAYQ_HOME not writable, no process to be had: the worker says so and loses no job (item 7; P11)."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from relayq.model import State
from tests.conftest import wait_until

from .conftest import need
from .fleet import Fleet
from .records import expected_output


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = os.geteuid() == 0 and _run("mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", folder)
    need(mounted, "a small disk cannot be mounted here: run the tests as root, in a container with CAP_SYS_ADMIN")
    yield folder
    assert _run("umount", "-l", folder)


def _run(*argv: str | Path) -> bool:
    return subprocess.run([str(word) for word in argv], capture_output=True, check=False).returncode == 0


def fill(folder: Path) -> Path:
    """Leave no byte on its disk."""
    file = folder / "filler"
    with suppress(OSError), file.open("wb", buffering=0) as filler:
        for size in (65536, 4096, 512, 1):
            with suppress(OSError):
                while True:
                    filler.write(b"x" * size)
    return file


def test_a_full_disk_ends_no_job_that_runs_and_loses_no_end(small_disk: Path, fleet: Fleet) -> None:
    """What runs needs no disk but for what nobody has heard yet."""
    a = fleet.start("a", home=small_disk)
    handle = fleet.run(2, exit_code=4)
    fleet.running(handle)
    fill(small_disk)
    result = handle.result(timeout=20)
    assert (result.exit_code, len(result.attempts)) == (4, 1)
    assert result.stdout.decode() == expected_output(2)
    assert fleet.run(0.5).get(timeout=20) == expected_output(0.5), "small jobs need no disk"
    assert a.running


def test_with_a_full_disk_a_job_that_needs_a_file_goes_to_another_machine(small_disk: Path, fleet: Fleet) -> None:
    """It is not the job's fault: given back uncounted, and its machine is left out for a while."""
    a = fleet.start("a", home=small_disk)
    fill(small_disk)
    handle = fleet.client.run(script="#!/bin/sh\necho done\n", prefer=["a"])
    fleet.jobs.append(handle)
    wait_until(lambda: handle.job().attempts, 15, fleet.logs)
    fleet.start("b")
    assert handle.get(timeout=30) == "done\n"
    job = handle.job()
    assert (job.losses, job.failures, job.worker) == (0, 0, "b")
    assert a.running


def test_with_a_full_disk_output_goes_on_without_a_broker(small_disk: Path, fleet: Fleet) -> None:
    """Nowhere to put it: the job must not stop or fail for that, and its end is heard."""
    a = fleet.start("a", home=small_disk)
    command = "i=0; while [ $i -lt 40 ]; do i=$((i+1)); head -c 100000 /dev/zero; sleep 0.1; done; exit 6"
    handle = fleet.command(command, on="a")
    wait_until(lambda: handle.state is State.RUNNING)
    fleet.broker.kill()
    fill(small_disk)
    wait_until(lambda: not a.of_role("job"), 20, fleet.logs)
    fleet.broker.start()
    result = handle.result(timeout=30)
    assert (result.exit_code, result.stdout_bytes, len(result.attempts)) == (6, 4_000_000, 1)
    assert a.running


def test_a_worker_on_a_full_disk_starts_when_there_is_room_and_says_what_is_wrong(
    small_disk: Path, fleet: Fleet
) -> None:
    """A service manager starts it again and again; the sentence says what to do."""
    filler = fill(small_disk)
    a = fleet.start("a", home=small_disk, wait=False)
    a.meant_to_run = False
    with suppress(subprocess.TimeoutExpired):
        assert a.wait(8) != 0
    assert "Traceback" not in a.tail()
    assert str(small_disk) in a.tail()
    if a.running:
        filler.unlink()
        fleet.online("a")
    else:
        filler.unlink()
        fleet.restart(a)
    assert fleet.run(0.2).get(timeout=15) == expected_output(0.2)


def test_a_home_that_is_not_writable_is_a_sentence_at_start(small_disk: Path, fleet: Fleet) -> None:
    """Which folder, and what to do."""
    assert _run("mount", "-o", "remount,ro", small_disk)
    a = fleet.start("a", home=small_disk, wait=False)
    a.meant_to_run = False
    assert a.wait(15) != 0
    assert str(small_disk) in a.tail()
    assert "Traceback" not in a.tail()


@contextmanager
def no_processes(pids: list[int], folder: Path) -> Iterator[None]:
    """These processes can start no others: by the kernel's own limit where we may set one, else for want of files."""
    groups = Path("/sys/fs/cgroup/pids")
    if os.geteuid() == 0 and (groups / "tasks").exists():
        group = groups / f"relayq-{os.getpid()}-{folder.name[-12:]}"
        group.mkdir()
        try:
            for pid in pids:
                (group / "cgroup.procs").write_text(str(pid))
            (group / "pids.max").write_text("1")
            yield
        finally:
            (group / "pids.max").write_text("max")
            for pid in (group / "cgroup.procs").read_text().split():
                with suppress(OSError):
                    (groups / "cgroup.procs").write_text(pid)
            wait_until(lambda: _removed(group), 10)
        return
    before = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in pids}
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[pid][1]))
    try:
        yield
    finally:
        for pid, limits in before.items():
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def _removed(group: Path) -> bool:
    with suppress(OSError):
        group.rmdir()
    return not group.exists()


def test_a_machine_that_can_start_no_process_gives_its_jobs_to_another(fleet: Fleet, tmp_path: Path) -> None:
    """Not the job's fault: uncounted, and the machine is left out; jobs that only it may run wait for it."""
    a = fleet.start("a", slots=1)
    fleet.run(0.2).get(timeout=10)  # it has a supervisor now
    with no_processes([p.pid for p in a.of_role("supervisor")], tmp_path):
        handle = fleet.run(0.5)
        pinned = fleet.run(0.5, on="a")
        wait_until(lambda: handle.job().attempts, 15, fleet.logs)
        fleet.start("b")
        assert handle.get(timeout=30) == expected_output(0.5)
        job = handle.job()
        assert (job.losses, job.failures, job.worker) == (0, 0, "b")
        assert a.running
        assert not pinned.job().state.ended
        fleet.unfinished.add(pinned.id)
