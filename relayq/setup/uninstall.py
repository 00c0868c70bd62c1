"""Undoes an installation: the receipt backwards. Without `purge`, settings and data stay, and whom they belong to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from relayq import service
from relayq.client import open_store
from relayq.config import Settings
from relayq.effects import Effects, run_command
from relayq.errors import RelayqError
from relayq.setup import redis, worker
from relayq.setup.places import Places
from relayq.worker.ending import end_jobs, shut_down

JOBS_GRACE = 5.0  #: seconds for a machine's jobs, before they are killed
_STORE_TIMEOUT = 5.0
_BEFORE = ".before-relayq"


def worker_of(places: Places, effects: Effects, *, purge: bool) -> None:
    """A worker: its service, its jobs (they wait again, for others), its programs; with `purge` its home."""
    settings = worker.read(places.home)
    effects.say(f"removing the worker {settings.worker_name}" + _what_stays(places, purge))
    with suppress(RelayqError):  # no service manager here: there can be no service
        service.find("worker").uninstall("worker", effects)
    if not effects.dry_run:
        _leave(settings, places.home, effects)
    _remove_files(places, effects, keep=[places.home])
    if purge and settings.admin_url:
        effects.say(f"  {places.home} stays: it has the access of the broker's administrator")
    elif purge:
        effects.remove(places.home)
    _remove_folders(places, effects)
    _remove_packages(effects, purge)


def broker_of(places: Places, effects: Effects, *, purge: bool, home: Path) -> None:
    """A broker: the server, Redis, the programs; with `purge` the data, the settings, the access in `home`."""
    effects.say("removing the broker" + _what_stays(places, purge))
    service.manager(system=True).uninstall("server", effects)
    for unit in (redis.TEMPLATE_UNIT, redis.OWN_UNIT):
        if f"systemd {unit}" in effects.receipt.units:
            effects.run(["systemctl", "disable", "--now", unit], why="stop Redis", check=False, timeout=120)
            if not effects.dry_run:
                effects.receipt.units.remove(f"systemd {unit}")
                effects.receipt.save()
    effects.remove(places.home / "server")  # an index that is made anew
    kept = [places.home, redis.data_folder(places), home]
    _remove_files(places, effects, keep=kept)
    effects.run(["systemctl", "daemon-reload"], check=False)
    before = effects.receipt.facts.get("overcommit_memory")
    if before is not None:
        effects.run(["sysctl", "-q", "-w", f"vm.overcommit_memory={before}"], check=False)
    if purge:
        _take_access_back(home, effects)
        effects.remove(redis.data_folder(places))
        users, folders = list(effects.receipt.users), list(effects.receipt.folders)
        effects.remove(places.home)
        effects.receipt.folders = folders
        for user in users:
            effects.run(["userdel", user], why="remove the user", check=False)
    _remove_folders(places, effects)
    _remove_packages(effects, purge)


def _what_stays(places: Places, purge: bool) -> str:
    return ", with all it has" if purge else f"; settings and data stay (in {places.home}; to remove them too: --purge)"


def _leave(settings: Settings, home: Path, effects: Effects) -> None:
    """End the jobs, give them back, and take the name off the list."""
    if settings.broker_url is None:
        end_jobs(home, None, grace=JOBS_GRACE)
        shut_down(home)
        return
    with closing(open_store(settings, timeout=_STORE_TIMEOUT)) as store:
        ended = end_jobs(home, store, grace=JOBS_GRACE)
        shut_down(home)
        if ended:
            effects.say(
                f"  {ended} running {'job' if ended == 1 else 'jobs'} ended; they wait again, for other machines"
            )
        try:
            store.remove_worker(settings.worker_name)
        except RelayqError as error:
            effects.say(f"note: {error}. On the broker's machine: relayq worker remove {settings.worker_name}")


def _remove_files(places: Places, effects: Effects, *, keep: list[Path]) -> None:
    """What the receipt lists, the last first, but nothing in `keep`; then the programs, all of them."""
    for name in reversed(list(effects.receipt.files)):
        path = Path(name)
        if not any(path.is_relative_to(folder) for folder in [*keep, places.prefix]):
            effects.remove(path)
    effects.remove(places.prefix)


def _take_access_back(home: Path, effects: Effects) -> None:
    """The config.yml of whoever administers, as it was before; unless a worker of this machine lives by it."""
    config = home / "config.yml"
    if (home / "receipt.json").exists():
        effects.say(f"  {config} stays: this machine's worker uses it")
        return
    before = config.with_name(f"{config.name}{_BEFORE}")
    if before.exists():
        effects.run(["mv", "-f", str(before), str(config)], why="bring back")
    elif effects.receipt.knows(config):
        effects.remove(config)


def _remove_folders(places: Places, effects: Effects) -> None:
    """Those we made and nobody uses, the innermost first."""
    for folder in sorted(map(Path, effects.receipt.folders), key=lambda path: -len(path.parts)):
        with suppress(OSError):
            if folder.is_dir() and not any(folder.iterdir()) and folder != places.home:
                effects.remove(folder)


def _remove_packages(effects: Effects, purge: bool) -> None:
    """The system's packages that came with us, if nothing else needs them by now. Last: Python may be one of them."""
    names = list(effects.receipt.packages)
    if not (purge and names):
        return
    others = sorted(set(_would_go(names)) - set(names))
    if others:
        effects.say(f"note: {', '.join(names)} stay: {', '.join(others)} need them by now")
        return
    effects.run(
        ["apt-get", "-o", "DPkg::Lock::Timeout=120", "-qq", "-y", "purge", *names],
        why="remove",
        root=True,
        check=False,
        env={"DEBIAN_FRONTEND": "noninteractive"},
        timeout=1800,
    )


def _would_go(names: list[str]) -> Iterator[str]:
    said = run_command(["apt-get", "-s", "purge", *names], check=False, env={"LC_ALL": "C"}).stdout
    for line in said.splitlines():
        if line.startswith(("Purg ", "Remv ")):
            yield line.split()[1].partition(":")[0]
